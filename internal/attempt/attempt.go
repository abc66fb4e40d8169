// Package attempt is what the two halves of qmail-popup say to each other: the half
// that talks with the client, qmail-popnet, hands over one attempt to log in, and the
// other has it checked.
//
// The record is a word about the connection, the name and the password, each ended by
// a NUL, and nothing behind the third:
//
//	t   the connection is under TLS
//	u   the client has asked for UTF-8
//
// in this order, each there or not. The sender ends its side of the socket behind it.
//
// The reader may be root and the sender somebody whom a stranger has taken over. So a
// record has one form only, a bounded length, and nothing that the reader could know
// by itself: the timestamp that a digest is made of is not in it.
package attempt

import (
	"errors"
	"strings"
)

// Max is how long a record may be. Name and password come from a command line of POP3
// each.
const Max = 32<<10 + 8

// ErrForm says that a record is not in form, or has been cut off.
var ErrForm = errors.New("attempt to log in is not in form")

// Attempt is one attempt to log in.
type Attempt struct {
	TLS  bool // the client is to be spoken to through the other half
	UTF8 bool // the client has asked for UTF-8, RFC 6856

	Name, Password string // for APOP the digest stands for the password
}

// Record returns the bytes of the attempt. Name and password end at their first NUL.
func (a Attempt) Record() []byte {
	var b []byte
	for _, part := range []string{a.word(), a.Name, a.Password} {
		part, _, _ = strings.Cut(part, "\x00")
		b = append(append(b, part...), 0)
	}
	return b
}

func (a Attempt) word() (word string) {
	if a.TLS {
		word += "t"
	}
	if a.UTF8 {
		word += "u"
	}
	return word
}

// Parse is the inverse of Record.
func Parse(record []byte) (Attempt, error) {
	parts := strings.Split(string(record), "\x00")
	if len(record) > Max || len(parts) != 4 || parts[3] != "" {
		return Attempt{}, ErrForm
	}
	a := Attempt{TLS: strings.HasPrefix(parts[0], "t"), UTF8: strings.HasSuffix(parts[0], "u"), Name: parts[1], Password: parts[2]}
	if a.word() != parts[0] {
		return Attempt{}, ErrForm
	}
	return a, nil
}
