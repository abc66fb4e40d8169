// Command forward sends a message on to one or more addresses.
//
//	forward [ ADDRESS ... ]
//
// It is meant for .qmail lines: "|forward joe@example.org" does what the line
// "&joe@example.org" does, from within a program line, where the address may come
// from a variable or a script. The message is standard input; it is queued under
// the line in DTLINE, from the sender in NEWSENDER. Addresses are taken as they are.
//
// # Exit status
//
// 0 if the message is in the queue, 100 if it is refused for good or a variable is
// missing, else 111.
//
// # Security
//
// Runs as the recipient, on a message written by a stranger, which it copies and
// does not look at. The sender comes from the environment, where qmail-local put it.
package main

import (
	"quail/internal/forward"
	"quail/internal/prog"
)

func main() { prog.Main("forward", run, prog.Single) }

func run(p *prog.Process) error {
	sender, err := forward.Variable(p, "NEWSENDER")
	if err != nil {
		return err
	}
	dtline, err := forward.Variable(p, "DTLINE")
	if err != nil {
		return err
	}
	return forward.Send(p, dtline, sender, p.Args)
}
