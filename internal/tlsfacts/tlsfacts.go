// Package tlsfacts is what qmail-tlsnet, which speaks TLS with a client, tells qmail-tls
// of the session: once, when the handshake has been done.
//
// The record is the version, the cipher suite and the server that the client has named,
// each ended by a NUL, and nothing behind the third. The first two are never empty.
//
// The reader may be root and the sender somebody whom a stranger has taken over, and
// what is read gets into the environment of a program. So a record has one form only, a
// bounded length, and no byte but visible ones of ASCII.
package tlsfacts

import (
	"errors"
	"strings"
)

// Max is how long a record may be: the name of a host and two short words.
const Max = 512

// ErrForm says that a record is not in form, or has been cut off.
var ErrForm = errors.New("what is told of a session is not in form")

// Facts are what is known of a session.
type Facts struct {
	Version string // such as TLSv1.3
	Cipher  string // such as TLS_AES_128_GCM_SHA256
	Server  string // "" if the client has named none
}

// Record returns the bytes of the facts, which must be such that Parse takes them.
func (f Facts) Record() []byte {
	return []byte(f.Version + "\x00" + f.Cipher + "\x00" + f.Server + "\x00")
}

// Parse is the inverse of Record.
func Parse(record []byte) (Facts, error) {
	parts := strings.Split(string(record), "\x00")
	if len(record) > Max || len(parts) != 4 || parts[0] == "" || parts[1] == "" || parts[3] != "" {
		return Facts{}, ErrForm
	}
	for _, b := range record {
		if b != 0 && (b <= ' ' || b > '~') {
			return Facts{}, ErrForm
		}
	}
	return Facts{Version: parts[0], Cipher: parts[1], Server: parts[2]}, nil
}
