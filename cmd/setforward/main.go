// Command setforward compiles forwarding instructions for fastforward.
//
//	setforward DATA.cdb DATA.tmp < INSTRUCTIONS
//
// An instruction is TARGET: COMMAND, COMMAND, ...; for example
//
//	root@example.org: &joe@example.org, jane@example.net;
//	@lists.example.org: ?owner@example.org, /etc/lists/all.bin;
//	weather@: |weather-server;
//
// A TARGET is an address, @HOST or USER@. A COMMAND is & and an address, an address
// that begins with a letter or digit, ? and the address of an owner, a list that begins
// with a slash or dot, or a program that begins with | or !. What follows # is a
// comment. Blanks count only after a backslash.
//
// The database is written to DATA.tmp, in the same file system, and renamed to DATA.cdb
// when it is complete and on disk.
//
// # Exit status
//
// 0; 100 for text that is no list of instructions or a wrong call; 111 for trouble with
// a file. DATA.cdb is then as it was.
//
// # Security
//
// Reads and writes the administrator's files with his own rights.
package main

import (
	"errors"

	"quail/internal/cdbfile"
	"quail/internal/forwarding"
	"quail/internal/prog"
)

func main() { prog.Main("setforward", run) }

func run(p *prog.Process) error {
	if len(p.Args) < 2 {
		return prog.Usage("setforward data.cdb data.tmp")
	}
	name, tmp := p.Args[0], p.Args[1]
	draft, err := cdbfile.Create(p.Path(tmp))
	if err != nil {
		return prog.Fail("unable to create "+tmp, err)
	}
	defer draft.Discard()
	for record, err := range forwarding.Scan(p.Stdin) {
		var syntax *forwarding.SyntaxError
		switch {
		case errors.As(err, &syntax):
			return prog.Perm(err)
		case err != nil:
			return prog.Fail("unable to read input", err)
		}
		if err := draft.Add(record); err != nil {
			return prog.Fail("unable to write to "+tmp, err)
		}
	}
	if err := draft.Finish(); err != nil {
		return prog.Fail("unable to write to "+tmp, err)
	}
	if err := draft.Publish(p.Path(name)); err != nil {
		return prog.Fail("unable to move "+tmp+" to "+name, err)
	}
	return nil
}
