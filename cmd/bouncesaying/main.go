// Command bouncesaying returns a message to its sender, perhaps if a program says
// so.
//
//	bouncesaying ERROR [ PROGRAM [ ARG ... ] ]
//
// It is meant for .qmail lines: "|bouncesaying 'No such list.'" returns every
// message with that text, and with a PROGRAM, which finds the message on standard
// input, only those for which it succeeds.
//
// # Exit status
//
// 100, and ERROR on standard error, if there is no PROGRAM or it succeeded; 111 if
// PROGRAM exited with 111 or crashed; else 0, also if PROGRAM does not exist.
//
// # Security
//
// Runs as the recipient, on a message written by a stranger, which it does not read.
package main

import (
	"fmt"

	"quail/internal/prog"
	"quail/internal/verdict"
)

func main() { prog.Main("bouncesaying", run) }

func run(p *prog.Process) error {
	if len(p.Args) == 0 {
		return prog.Usage("bouncesaying error [ program [ arg ... ] ]")
	}
	if len(p.Args) > 1 {
		yes, err := verdict.Ask(p, p.Args[1:])
		if err != nil || !yes {
			return err
		}
	}
	fmt.Fprintln(p.Stderr, p.Args[0])
	return prog.Exit(prog.StatusPermanent)
}
