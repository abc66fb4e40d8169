// Package mailauth is users/mailauth, the logins that mail has of its own: what
// qmail-passwd writes and qmail-auth and checkpassword ask.
//
// A line is a login, a colon and fields with a space between, base64 for bytes:
//
//	joe:{SCRAM-SHA-1}20000,SALT,STOREDKEY,SERVERKEY {SCRAM-SHA-256}20000,SALT,STOREDKEY,SERVERKEY
//
// The first two fields are always there: verifiers of one password, by which it can be
// checked and not found out but by guessing. {SECRET}PASSWORD may follow, for
// mechanisms that cannot do without it, and {UNIX}ACCOUNT, the account of this host
// whose mailbox it is. Lines are sorted by the bytes of the login; empty ones and
// those that begin with # count for nothing. The line with an empty login has one
// field, {DECOY}BYTES: what is answered about logins that do not exist is made of it.
//
// The file is as good as the passwords in it, and only the users that must read it
// may. Logins that are looked up are chosen by strangers.
package mailauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"quail/internal/sasl"
)

// Path is where the file is, below the home directory.
const Path = "users/mailauth"

// Iterations is how often a password is hashed for a new verifier. One check of a
// password by PLAIN costs the server that much work, 6 ms where it was measured; each
// guess costs a thief of the file the same. RFC 7677 asks for 4096 at least.
const Iterations = 20000

// MaxPassword is how long a password may be, in bytes. Login, password and timestamp
// have to fit the 512 bytes that a checkpassword program reads.
const MaxPassword = 255

// maxLine is more than the longest line: a name, two verifiers, a secret, an account.
const maxLine = 4096

// Entry is one line.
type Entry struct {
	Login        string
	SHA1, SHA256 sasl.Verifier
	Secret       string // "" if there is none
	Account      string // of this host; "" if it is not named
}

// New makes an entry of a password, without its secret. The salts must be random.
func New(login, password string, salts [2][16]byte) (e Entry, err error) {
	if !ValidLogin(login) {
		return e, fmt.Errorf("%q cannot be a login: it must have 1 to %d bytes, be UTF-8 and have no space, colon or comma, nor # at the beginning", login, sasl.MaxName)
	}
	if password == "" || len(password) > MaxPassword || strings.ContainsFunc(password, control) {
		return e, fmt.Errorf("the password must have 1 to %d bytes and no control characters", MaxPassword)
	}
	e.Login = login
	if e.SHA1, err = sasl.NewVerifier(sasl.SHA1, password, salts[0][:], Iterations); err != nil {
		return e, err
	}
	e.SHA256, err = sasl.NewVerifier(sasl.SHA256, password, salts[1][:], Iterations)
	return e, err
}

// ValidLogin reports whether a line can have this login.
func ValidLogin(login string) bool {
	return login != "" && len(login) <= sasl.MaxName && login[0] != '#' && word(login) && !strings.Contains(login, ",")
}

// word reports whether s can stand in a line.
func word(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return control(r) || r == ' ' || r == ':' })
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// The names of the fields.
const (
	fieldSHA1   = "{SCRAM-SHA-1}"
	fieldSHA256 = "{SCRAM-SHA-256}"
	fieldSecret = "{SECRET}"
	fieldUnix   = "{UNIX}"
	fieldDecoy  = "{DECOY}"
)

var encoding = base64.StdEncoding.Strict()

// String returns the line without its end.
func (e Entry) String() string {
	s := e.Login + ":" + fieldSHA1 + verifier(e.SHA1) + " " + fieldSHA256 + verifier(e.SHA256)
	if e.Secret != "" {
		s += " " + fieldSecret + encoding.EncodeToString([]byte(e.Secret))
	}
	if e.Account != "" {
		s += " " + fieldUnix + e.Account
	}
	return s
}

func verifier(v sasl.Verifier) string {
	return strconv.Itoa(v.Iterations) + "," + encoding.EncodeToString(v.Salt) + "," +
		encoding.EncodeToString(v.StoredKey) + "," + encoding.EncodeToString(v.ServerKey)
}

// errLine says that a line is not in form. It does not repeat the line, which is
// secret.
var errLine = errors.New("malformed line")

// parse reads a line.
func parse(line string) (e Entry, err error) {
	login, rest, ok := strings.Cut(line, ":")
	fields := strings.Split(rest, " ")
	if !ok || !ValidLogin(login) || len(fields) < 2 {
		return e, errLine
	}
	e.Login = login
	if e.SHA1, err = parseVerifier(fields[0], fieldSHA1, 20); err != nil {
		return e, err
	}
	if e.SHA256, err = parseVerifier(fields[1], fieldSHA256, 32); err != nil {
		return e, err
	}
	for _, field := range fields[2:] {
		secret, isSecret := strings.CutPrefix(field, fieldSecret)
		account, isAccount := strings.CutPrefix(field, fieldUnix)
		switch {
		case isSecret && secret != "" && e.Secret == "":
			b, err := decode(secret)
			if err != nil {
				return e, errLine
			}
			e.Secret = string(b)
		case isAccount && account != "" && word(account) && e.Account == "":
			e.Account = account
		default:
			return e, errLine
		}
	}
	return e, nil
}

func parseVerifier(field, name string, size int) (v sasl.Verifier, err error) {
	value, ok := strings.CutPrefix(field, name)
	parts := strings.Split(value, ",")
	if !ok || len(parts) != 4 {
		return v, errLine
	}
	n, err0 := strconv.ParseUint(parts[0], 10, 31)
	salt, err1 := decode(parts[1])
	stored, err2 := decode(parts[2])
	server, err3 := decode(parts[3])
	if err0 != nil || err1 != nil || err2 != nil || err3 != nil || n == 0 || len(salt) == 0 || len(stored) != size || len(server) != size {
		return v, errLine
	}
	return sasl.Verifier{Iterations: int(n), Salt: salt, StoredKey: stored, ServerKey: server}, nil
}

// decode reads base64, in which the library would pass over ends of lines.
func decode(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errLine
	}
	return encoding.DecodeString(s)
}

// decoyLine and parseDecoy are the line without a login.
func decoyLine(decoy [32]byte) string {
	return ":" + fieldDecoy + encoding.EncodeToString(decoy[:])
}

func parseDecoy(line string) (decoy [32]byte, err error) {
	value, ok := strings.CutPrefix(line, ":"+fieldDecoy)
	b, err := decode(value)
	if !ok || err != nil || len(b) != len(decoy) {
		return decoy, errLine
	}
	return [32]byte(b), nil
}
