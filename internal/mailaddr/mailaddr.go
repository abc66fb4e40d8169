// Package mailaddr knows the two written forms of a mail address: the one inside
// an envelope, which is any bytes with the last @ dividing it, and the quoted one
// of SMTP commands and of header lines that programs generate.
// See spec "qmail-start and qmail-send", section 12, "Quoting".
//
// Addresses come from strangers. Nothing here assumes an @, UTF-8 or a length.
package mailaddr

import "strings"

// Split divides an address at its last @. Without one, ok is false and local is
// the whole address.
func Split(address string) (local, domain string, ok bool) {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address, "", false
	}
	return address[:at], address[at+1:], true
}

// Quote returns the address as SMTP and header lines want it: the local part in
// double quotes where it needs them, the domain untouched. A string without @ is
// quoted as a whole; the empty string stays empty.
func Quote(address string) string {
	if address == "" {
		return ""
	}
	local, domain, ok := Split(address)
	if !ok {
		return QuoteLocal(local)
	}
	return QuoteLocal(local) + "@" + domain
}

// QuoteLocal quotes a local part if it is not a dot-atom.
func QuoteLocal(local string) string {
	if isDotAtom(local) {
		return local
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(local); i++ {
		if strings.IndexByte("\r\n\"\\", local[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(local[i])
	}
	b.WriteByte('"')
	return b.String()
}

func isDotAtom(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-./=?^_`{|}~", c) < 0 {
			return false
		}
	}
	return true
}

// Lower folds the ASCII capitals of s, as every comparison of domains in the
// suite does; bytes from 128 on compare as they are.
func Lower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if 'A' <= b[j] && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// Suffixes returns what lists of domains are searched for, in order: the domain
// itself, then each of its endings that begins with a dot, longest first. ".x"
// does not match "x".
func Suffixes(domain string) []string {
	out := []string{domain}
	for i := 1; i < len(domain); i++ {
		if domain[i] == '.' {
			out = append(out, domain[i:])
		}
	}
	return out
}
