// Command tcprules compiles rules for tcpserver.
//
//	tcprules RULES.cdb RULES.tmp < RULES
//
// Each line of RULES is ADDRESS:INSTRUCTIONS, for example
//
//	127.:allow,RELAYCLIENT=""
//	10.0.0.1-9:deny
//	10.128.0.0/9:deny
//	2001:db8::/32:allow
//	=.example.com:allow,DATABYTES="1000000"
//	:allow
//
// An ADDRESS is an IP address, IPv4 or IPv6, a beginning of one that ends in a dot, a
// network ADDRESS/BITS, "=" and a host name, "=" and an ending of one that begins with
// a dot, "=" for any host that has a name, nothing for all others; the first three, if
// they are IPv4, may hold one range of numbers. USER@ may precede a full address or "=" and a full name. The most exact
// rule decides, and of equal ones the first. Lines that begin with # are comments.
//
// The database is written to RULES.tmp, in the same file system, and renamed to
// RULES.cdb when it is complete and on disk, so a running tcpserver needs no word.
//
// # Exit status
//
// 0; 100 for a line that is no rule or a wrong call; 111 for trouble with a file.
// RULES.cdb is then as it was.
//
// # Security
//
// Reads and writes the administrator's files with his own rights.
package main

import (
	"errors"

	"quail/internal/cdbfile"
	"quail/internal/prog"
	"quail/internal/tcprules"
)

func main() { prog.Main("tcprules", run) }

func run(p *prog.Process) error {
	if len(p.Args) < 2 {
		return prog.Usage("tcprules rules.cdb rules.tmp")
	}
	name, tmp := p.Args[0], p.Args[1]
	draft, err := cdbfile.Create(p.Path(tmp))
	if err != nil {
		return prog.Fail("unable to create "+tmp, err)
	}
	defer draft.Discard()
	for rule, err := range tcprules.Rules(p.Stdin) {
		var syntax *tcprules.SyntaxError
		switch {
		case errors.As(err, &syntax):
			return prog.Perm(err)
		case err != nil:
			return prog.Fail("unable to read input", err)
		}
		if err := draft.Add(rule); err != nil {
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
