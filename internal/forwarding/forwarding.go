// Package forwarding owns fastforward's database of aliases, a cdb, and the text form
// that setforward reads and printforward prints. See package cdb for the file; where
// spec is silent, setforward(1) of fastforward 0.51 counts.
//
// A key is : and a target in lower case, for the instructions, or ? and a target, for
// the address that owns it. A target is an address, @host for all users of a host, or
// user@ for a user of all hosts. Instructions are a row of entries as in package
// maillist, of which some may be programs: | or ! and a shell command.
//
// The database is the administrator's. The address looked up is a stranger's.
package forwarding

import (
	"errors"
	"strings"

	"quail/internal/cdb"
	"quail/internal/mailaddr"
	"quail/internal/maillist"
)

// ErrFormat says that a record is not one of forwarding.
var ErrFormat = errors.New("bad database format")

// The first bytes of keys.
const (
	instructions = ":"
	owner        = "?"
)

// Program returns the shell command of an entry that is a program, and whether the
// lines of an mbox are to be put in front of the message.
func Program(e maillist.Entry) (command string, lines, ok bool) {
	if command, ok = strings.CutPrefix(string(e), "|"); ok {
		return command, false, true
	}
	command, ok = strings.CutPrefix(string(e), "!")
	return command, true, ok
}

// Instructions returns the record that sends mail for target to entries.
func Instructions(target string, entries ...maillist.Entry) cdb.Record {
	return cdb.Record{Key: key(instructions, target), Value: string(maillist.Append(nil, entries...))}
}

// Owner returns the record that makes address the sender of mail for target.
func Owner(target, address string) cdb.Record {
	return cdb.Record{Key: key(owner, target), Value: address}
}

func key(kind, target string) string { return mailaddr.Lower(kind + target) }

// Table is a database. Find looks one key up, as cdb.Reader does.
type Table struct {
	Find func(key string) (value []byte, ok bool, err error)
}

// Entries returns the instructions for exactly the target address.
func (t Table) Entries(address string) (entries []maillist.Entry, ok bool, err error) {
	return entriesOf(t.Find(key(instructions, address)))
}

// Match returns the instructions for an address, or else for all of its host, or else
// for its user at all hosts.
func (t Table) Match(address string) (entries []maillist.Entry, ok bool, err error) {
	return entriesOf(t.wild(instructions, address))
}

// entriesOf reads what was found.
//
// Differs from qmail: a value that is not wholly in form is an error, as in
// maillist.Parse.
func entriesOf(value []byte, ok bool, err error) ([]maillist.Entry, bool, error) {
	if !ok || err != nil {
		return nil, ok, err
	}
	entries, err := maillist.Split(value)
	for _, e := range entries {
		if !known(e) {
			return nil, true, ErrFormat
		}
	}
	if err != nil {
		return nil, true, ErrFormat
	}
	return entries, true, nil
}

func known(e maillist.Entry) bool {
	_, address := e.Address()
	_, file := e.File()
	_, _, program := Program(e)
	return address || file || program
}

// Owned reports whether exactly the target address has an owner.
func (t Table) Owned(address string) (bool, error) {
	_, ok, err := t.Find(key(owner, address))
	return ok, err
}

// Owner returns the address that owns what Match would look at, by the same rules.
func (t Table) Owner(address string) (sender string, ok bool, err error) {
	value, ok, err := t.wild(owner, address)
	if strings.Contains(string(value), "\x00") {
		return "", true, ErrFormat // it would end the sender's record in an envelope
	}
	return string(value), ok, err
}

func (t Table) wild(kind, address string) (value []byte, ok bool, err error) {
	targets := []string{address}
	if user, host, divided := mailaddr.Split(address); divided {
		targets = append(targets, "@"+host, user+"@")
	}
	for _, target := range targets {
		if value, ok, err = t.Find(key(kind, target)); ok || err != nil {
			return value, ok, err
		}
	}
	return nil, false, nil
}
