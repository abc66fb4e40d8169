package users

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"quail/internal/cdb"
	"quail/internal/mailaddr"
)

// ErrFormat says that the text of users/assign breaks its rules.
var ErrFormat = errors.New("bad format in users/assign")

// Assign returns the records of users/cdb that the text of users/assign stands
// for, in the order of the database. The text ends at a line that begins with a
// dot, without which it is not complete. An error ends the sequence: ErrFormat, or
// that of reading.
//
// No more is asked of a line than qmail asks: an id that is none shows when mail
// comes for it.
func Assign(text io.Reader) iter.Seq2[cdb.Record, error] {
	return func(yield func(cdb.Record, error) bool) {
		var wild []byte // in order of first appearance
		lines := bufio.NewReader(text)
		for {
			line, err := lines.ReadString('\n')
			if err != nil && err != io.EOF {
				yield(cdb.Record{}, err)
				return
			}
			if strings.HasPrefix(line, ".") {
				yield(cdb.Record{Key: wildchars, Value: string(wild)}, nil)
				return
			}
			name, data, ok := assignment(line)
			if !ok || err == io.EOF {
				yield(cdb.Record{}, ErrFormat)
				return
			}
			if !yield(cdb.Record{Key: key(name), Value: data}, nil) {
				return
			}
			// The byte goes in as written, though keys are lower case: that is how
			// it always was, and a prefix ending in a capital never matched.
			last := name[len(name)-1]
			if name[0] == '+' && len(name) > 1 && strings.IndexByte(string(wild), last) < 0 {
				wild = append(wild, last)
			}
		}
	}
}

// assignment divides a line "=NAME:USER:UID:GID:HOME:DASH:EXT:" (or "+PREFIX:…")
// into its first field and the value it is stored with. What follows the last
// colon is ignored.
func assignment(line string) (name, data string, ok bool) {
	name, rest, _ := strings.Cut(line, ":")
	f := strings.SplitN(rest, ":", fields+1)
	if name == "" || len(f) <= fields || strings.Contains(line, "\x00") {
		return "", "", false
	}
	return name, strings.Join(f[:fields], "\x00"), true
}

// Exact returns the line of users/assign that assigns the address name. The fields
// of an Assignment and name must hold no colon, line feed or NUL.
func (a Assignment) Exact(name string) string { return a.line("=", name) }

// Prefix returns the line that assigns all addresses which begin with prefix.
func (a Assignment) Prefix(prefix string) string { return a.line("+", prefix) }

func (a Assignment) line(mark, name string) string {
	return fmt.Sprintf("%s%s:%s:%d:%d:%s:%s:%s:\n", mark, name, a.User, a.UID, a.GID, a.Home, a.Dash, a.Ext)
}

// key returns the key for the first field of a line: a plus sign marks a prefix,
// anything else an address.
func key(name string) string {
	k := keyStart + mailaddr.Lower(name[1:])
	if name[0] == '+' {
		return k
	}
	return k + keyExact
}
