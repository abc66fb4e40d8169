// Package checkpw is what a program that asks for passwords writes to the one that
// checks them, on descriptor 3: name, password and a timestamp, each ended by a
// NUL. See spec "Receiving mail", section 10.
//
// The reader, any checkpassword, runs with more rights than whoever sent the name,
// and looks at no more than 512 bytes. Name and password are the client's.
package checkpw

import "strings"

// Descriptor is where the reader finds the record.
const Descriptor = 3

// Record returns the bytes of one attempt. Each part ends at its first NUL, so that
// none can pass for the next one. For APOP the timestamp is what the client made a
// digest of, and the digest stands for the password.
func Record(name, password, timestamp string) []byte {
	var b []byte
	for _, part := range []string{name, password, timestamp} {
		part, _, _ = strings.Cut(part, "\x00")
		b = append(append(b, part...), 0)
	}
	return b
}

// Parse returns the parts of a record, of which nothing counts after the third NUL. ok is
// false if there are fewer.
func Parse(record []byte) (name, password, timestamp string, ok bool) {
	parts := strings.SplitN(string(record), "\x00", 4)
	if len(parts) < 4 {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}
