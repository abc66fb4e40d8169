// Command except runs a program and reverses its verdict.
//
//	except PROGRAM [ ARG ... ]
//
// It is meant for .qmail lines: "|except grep -q ^X-Spam" lets the delivery go on if
// the header is absent, and returns the message if it is there. PROGRAM finds the
// message on standard input.
//
// # Exit status
//
// 100 if PROGRAM succeeded; 111 if it exited with 111 or crashed; else 0, also if
// PROGRAM does not exist.
//
// # Security
//
// Runs as the recipient, on a message written by a stranger, which it does not read.
package main

import (
	"quail/internal/prog"
	"quail/internal/verdict"
)

func main() { prog.Main("except", run) }

func run(p *prog.Process) error {
	if len(p.Args) == 0 {
		return prog.Usage("except program [ arg ... ]")
	}
	yes, err := verdict.Ask(p, p.Args)
	if yes {
		return prog.Exit(prog.StatusPermanent)
	}
	return err
}
