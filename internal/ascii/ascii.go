// Package ascii makes fit to be shown what strangers have written: a terminal, a log or
// a line of a protocol may obey anything but printable ASCII.
package ascii

// Printable returns s with the byte by for each byte that is not printable ASCII.
func Printable(s string, by byte) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = by
		}
	}
	return string(b)
}
