package smtpd

import (
	"net/netip"
	"strings"

	"quail/internal/mailaddr"
)

// maxAddress is the length at which an address is too long to be taken.
const maxAddress = 900

// parsePath returns the address in the argument of MAIL or RCPT: what is between
// < and >, or else what is between a colon and a space, without source route,
// quotes and backslashes. Anything is an address; what is none is the empty one.
// See spec "Receiving mail", section 3.
func parsePath(arg string) string {
	terminator := byte('>')
	if _, path, ok := strings.Cut(arg, "<"); ok {
		arg = path
	} else {
		terminator = ' '
		_, arg, _ = strings.Cut(arg, ":")
		arg = strings.TrimLeft(arg, " ")
	}
	if strings.HasPrefix(arg, "@") {
		_, arg, _ = strings.Cut(arg, ":")
	}
	return unquote(arg, terminator)
}

// unquote copies s up to a terminator that is not quoted, or to its end, without
// the quotes. A backslash also quotes where double quotes do already.
func unquote(s string, terminator byte) string {
	address := make([]byte, 0, len(s))
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
			if i < len(s) {
				address = append(address, s[i])
			}
		case c == '"':
			quoted = !quoted
		case c == terminator && !quoted:
			return string(address)
		default:
			address = append(address, c)
		}
	}
	return string(address)
}

// literal returns the IP address that stands, in brackets, for the domain of
// address. An IPv6 address has IPv6: before it, RFC 5321 section 4.1.3.
//
// Differs from qmail: it must be written as RFC 5321 has it. qmail takes numbers
// above 255 too, modulo 256.
func literal(address string) (ip netip.Addr, ok bool) {
	_, domain, _ := mailaddr.Split(address)
	text, opened := strings.CutPrefix(domain, "[")
	text, closed := strings.CutSuffix(text, "]")
	if !opened || !closed {
		return netip.Addr{}, false
	}
	const tag = "ipv6:"
	tagged := len(text) > len(tag) && mailaddr.Lower(text[:len(tag)]) == tag
	if tagged {
		text = text[len(tag):]
	}
	ip, err := netip.ParseAddr(text)
	return ip, err == nil && tagged == ip.Is6() && ip.Zone() == ""
}
