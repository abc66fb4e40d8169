// Command predate runs a program and feeds it a message with a Date line on top.
//
//	predate PROGRAM [ ARG ... ]
//
// The line has the time zone of this host, or that of the variable TZ. What would
// otherwise put one there, qmail-inject, writes the time of Greenwich. datemail is
// sendmail with it.
//
// # Exit status
//
// That of PROGRAM; 111 if PROGRAM crashed or cannot be run, or the message cannot be
// read; 100 without PROGRAM.
//
// # Security
//
// Runs as its caller, whose TZ may name any file that the caller can read; what is in
// it shows as a number of minutes.
package main

import (
	"quail/internal/forward"
	"quail/internal/localtime"
	"quail/internal/prog"
)

func main() { prog.Main("predate", run) }

func run(p *prog.Process) error {
	if len(p.Args) == 0 {
		return prog.Usage("predate child")
	}
	tz, set := p.Env.Lookup("TZ")
	now := p.Now().In(localtime.Zone(tz, set))
	return forward.Feed(p, "Date: "+now.Format("2 Jan 2006 15:04:05 -0700")+"\n", p.Args)
}
