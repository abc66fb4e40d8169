// Command qmail-newmrh makes control/morercpthosts.cdb out of control/morercpthosts.
//
//	qmail-newmrh
//
// control/morercpthosts lists further domains that this host takes mail for, one a
// line, in the form of control/rcpthosts: for thousands of them, which qmail-smtpd
// then need not read. Lines that begin with # are comments. The new database is used
// from the next recipient on.
//
// # Exit status
//
// 0, or 111 with the reason on standard error; control/morercpthosts.cdb is then as
// it was.
//
// # Security
//
// Run by the administrator, on his own files. The database decides for whom mail is
// taken from strangers.
package main

import (
	"os"
	"path/filepath"

	"quail/internal/cdbfile"
	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/rcpthosts"
)

func main() { prog.Main("qmail-newmrh", run, prog.Umask(0o33)) }

// How the messages call the files.
const (
	list     = "control/" + rcpthosts.More
	draftOf  = list + ".tmp"
	compiled = "control/" + rcpthosts.Compiled
)

func run(*prog.Process) error {
	path := func(name string) string { return filepath.Join(conf.Home, name) }
	if fi, err := os.Stat(conf.Home + "/."); err != nil || !fi.IsDir() {
		return prog.Fail("unable to chdir to "+conf.Home, err)
	}
	text, err := os.Open(path(list))
	if err != nil {
		return prog.Fail("unable to read "+list, err)
	}
	defer text.Close()
	draft, err := cdbfile.Create(path(draftOf))
	if err != nil {
		return prog.Fail("unable to write to "+draftOf, err)
	}
	defer draft.Discard()
	for record, err := range rcpthosts.Records(text) {
		if err != nil {
			return prog.Fail("unable to read "+list, err)
		}
		if err := draft.Add(record); err != nil {
			return prog.Fail("unable to write to "+draftOf, err)
		}
	}
	if err := draft.Finish(); err != nil {
		return prog.Fail("unable to write to "+draftOf, err)
	}
	if err := draft.Publish(path(compiled)); err != nil {
		return prog.Fail("unable to move "+draftOf+" to "+compiled, err)
	}
	return nil
}
