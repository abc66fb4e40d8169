package smtpd

import "strings"

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
