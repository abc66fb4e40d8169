// Command condredirect sends a message to another address if a program says so.
//
//	condredirect NEWADDRESS PROGRAM [ ARG ... ]
//
// It is meant for .qmail lines: with "|condredirect spam@example.org grep -q
// ^X-Spam" a message with that header goes there and nowhere else, and all others
// go on to the next line. PROGRAM finds the message on standard input. The message
// is queued from its own sender, SENDER, under the line in DTLINE.
//
// # Exit status
//
// 99, which ends the .qmail file, if PROGRAM succeeded and the message is in the
// queue; 0 if PROGRAM failed or does not exist; 100 if the queue refuses the message
// for good or a variable is missing; 111 if PROGRAM exited with 111 or crashed, or
// anything else went wrong.
//
// # Security
//
// Runs as the recipient, on a message written by a stranger, which it copies and
// does not look at. The sender comes from the environment, where qmail-local put it.
package main

import (
	"io"

	"quail/internal/forward"
	"quail/internal/prog"
	"quail/internal/verdict"
)

func main() { prog.Main("condredirect", run) }

func run(p *prog.Process) error {
	if len(p.Args) < 2 {
		return prog.Usage("condredirect newaddress program [ arg ... ]")
	}
	sender, err := forward.Variable(p, "SENDER")
	if err != nil {
		return err
	}
	dtline, err := forward.Variable(p, "DTLINE")
	if err != nil {
		return err
	}
	yes, err := verdict.Ask(p, p.Args[1:])
	if err != nil || !yes {
		return err
	}
	if _, err := p.Stdin.Seek(0, io.SeekStart); err != nil {
		return prog.Fail("unable to rewind", err)
	}
	if err := forward.Send(p, dtline, sender, p.Args[:1]); err != nil {
		return err
	}
	return prog.Exit(99)
}
