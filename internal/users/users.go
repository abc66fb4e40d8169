// Package users is who gets the mail for a local address, in the three forms in
// which that is written down: the text users/assign, which qmail-newu turns into
// the database users/cdb, and the record of six fields that qmail-getpw prints for
// addresses that the database does not have. See spec "Local delivery", sections 3
// and 4, and "Administrative tools", section 5.
//
// The reader of the last two is qmail-lspawn, as root: what is decided here is the
// user id that a delivery runs with. The local part comes from a stranger, the
// database from the administrator, the record from qmail-getpw, which runs without
// privilege. What cannot be understood is an error, and every error here is a
// reason to try the delivery again later, never to guess.
package users

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"quail/internal/cdb"
	"quail/internal/mailaddr"
)

// ErrRecord says that a record does not hold six fields and two ids.
var ErrRecord = errors.New("malformed user record")

// Assignment is who controls an address, and how his .qmail files are named for it.
type Assignment struct {
	User     string
	UID, GID int
	Home     string
	Dash     string // "" or "-": what follows .qmail in the names of the files
	Ext      string // and what follows that, in the case the sender used
}

// fields is the number of fields of a record.
const fields = 6

// Record returns the assignment as qmail-getpw prints it: user, uid, gid, home
// directory, dash and ext, each followed by a zero byte. A field that contains one
// itself, or an id that is none, is ErrRecord.
func (a Assignment) Record() (string, error) {
	var b strings.Builder
	for _, field := range []string{a.User, strconv.Itoa(a.UID), strconv.Itoa(a.GID), a.Home, a.Dash, a.Ext} {
		b.WriteString(field)
		b.WriteByte(0)
	}
	// The reader decides what is a good record, so ask it.
	if back, err := ParseRecord(b.String()); err != nil || back != a {
		return "", ErrRecord
	}
	return b.String(), nil
}

// ParseRecord reads a record. Bytes after its six fields are ignored.
//
// Differs from qmail: an id has to be a number as a whole. "12x" was 12, and what
// does not begin with a digit was 0, which is root.
func ParseRecord(record string) (Assignment, error) {
	f := strings.SplitN(record, "\x00", fields+1)
	if len(f) <= fields {
		return Assignment{}, ErrRecord
	}
	uid, err := ParseID(f[1])
	if err != nil {
		return Assignment{}, err
	}
	gid, err := ParseID(f[2])
	if err != nil {
		return Assignment{}, err
	}
	return Assignment{User: f[0], UID: uid, GID: gid, Home: f[3], Dash: f[4], Ext: f[5]}, nil
}

// ParseID reads a user or group id. The largest number of 32 bits is none: it
// tells several system calls to leave an id as it is.
func ParseID(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32) // no sign, no blanks, no prefix
	if err != nil || n == math.MaxUint32 {
		return 0, fmt.Errorf("%w: bad id %q", ErrRecord, s)
	}
	return int(n), nil
}

// Keys of users/cdb. An address is assigned by itself (marked by a zero byte) or
// by a prefix. The empty key holds the wildchars, the last bytes of all prefixes.
const (
	keyStart  = "!"
	keyExact  = "\x00"
	wildchars = ""
)

// Entry is an assignment and what in the database made it.
type Entry struct {
	Assignment
	// Line is what the line of users/assign begins with, in lower case: "=NAME" for an
	// address by itself, "+PREFIX" for all that begin so.
	Line string
}

// Lookup finds who controls a local part: the one assigned to it, or to its
// longest assigned prefix, whose ext then gets the rest of the local part. With ok
// false nobody is, and qmail-getpw is to be asked.
func Lookup(db *cdb.Reader, local string) (e Entry, ok bool, err error) {
	wild, ok, err := db.Find(wildchars)
	if err != nil {
		return Entry{}, false, err
	}
	if !ok {
		return Entry{}, false, fmt.Errorf("%w: no wildchars", cdb.ErrFormat)
	}
	folded := keyStart + mailaddr.Lower(local)
	if record, ok, err := db.Find(folded + keyExact); ok || err != nil {
		return assigned("="+folded[1:], record, "", err)
	}
	// Only prefixes that end in a wildchar can be there, and "!", the catch-all.
	for i := len(folded); i >= 1; i-- {
		if i > 1 && strings.IndexByte(string(wild), folded[i-1]) < 0 {
			continue
		}
		if record, ok, err := db.Find(folded[:i]); ok || err != nil {
			return assigned("+"+folded[1:i], record, local[i-len(keyStart):], err)
		}
	}
	return Entry{}, false, nil
}

// assigned is the result of a hit: the stored record lacks only the end of its
// last field.
func assigned(line string, record []byte, rest string, err error) (Entry, bool, error) {
	if err != nil {
		return Entry{}, false, err
	}
	a, err := ParseRecord(string(record) + rest + "\x00")
	return Entry{a, line}, err == nil, err
}
