// Command qmail-newu makes users/cdb out of users/assign.
//
//	qmail-newu
//
// A line "=NAME:USER:UID:GID:HOME:DASH:EXT:" assigns the local address NAME to
// USER, whose file HOME/.qmailDASHEXT says what to do with the mail. A line
// "+PREFIX:USER:UID:GID:HOME:DASH:PRE:" assigns all addresses that begin with
// PREFIX; the rest of the address is added to PRE. An exact line beats a prefix, a
// longer prefix a shorter one. The file ends with a line that begins with a dot.
//
// The new database is used from the next delivery on.
//
// # Exit status
//
// 0, or 111 with the reason on standard error; users/cdb is then as it was.
//
// # Security
//
// Run by the administrator, on his own files. The database decides what user id a
// delivery runs with, so the directory users must be writable by root alone.
package main

import (
	"errors"
	"os"
	"path/filepath"

	"quail/internal/cdbfile"
	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/users"
)

func main() { prog.Main("qmail-newu", run, prog.Umask(0o33)) }

// The messages name no cause: they are qmail's, to the byte.
func run(p *prog.Process) error {
	dir := filepath.Join(conf.Home, "users")
	if fi, err := os.Stat(conf.Home); err != nil || !fi.IsDir() {
		return errors.New("unable to chdir")
	}
	assign, err := os.Open(filepath.Join(dir, "assign"))
	if err != nil {
		return errors.New("unable to open users/assign")
	}
	defer assign.Close()
	draft, err := cdbfile.Create(filepath.Join(dir, "cdb.tmp"))
	if err != nil {
		return errors.New("unable to open users/cdb.tmp")
	}
	defer draft.Discard()
	for record, err := range users.Assign(assign) {
		switch {
		case errors.Is(err, users.ErrFormat):
			return err
		case err != nil:
			return errors.New("unable to read users/assign")
		}
		if draft.Add(record) != nil {
			return errors.New("unable to write users/cdb.tmp")
		}
	}
	if draft.Finish() != nil {
		return errors.New("unable to write users/cdb.tmp")
	}
	if draft.Publish(filepath.Join(dir, "cdb")) != nil {
		return errors.New("unable to move users/cdb.tmp to users/cdb")
	}
	return nil
}
