// Command preline runs a program and feeds it the message with the lines on top
// that the message itself does not hold.
//
//	preline [ -frdFRD ] PROGRAM [ ARG ... ]
//
// It is meant for .qmail lines such as "|preline procmail", whose program expects
// the format of an mbox: the line "From SENDER DATE", the Return-Path line and the
// Delivered-To line, from the variables UFLINE, RPLINE and DTLINE. Options -f, -r and
// -d leave one of them out; -F, -R and -D put it back.
//
// # Exit status
//
// That of PROGRAM; 111 if PROGRAM crashed, cannot be run now or the message cannot
// be read; 100 if PROGRAM cannot be run at all or a variable is missing.
//
// # Security
//
// Runs as the recipient, on a message written by a stranger, which it copies and
// does not look at. The lines come from the environment, where qmail-local put them.
package main

import (
	"quail/internal/preline"
	"quail/internal/prog"
)

func main() { prog.Main("preline", preline.Run) }
