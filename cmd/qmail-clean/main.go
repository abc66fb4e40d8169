// Command qmail-clean removes files of the queue for qmail-send.
//
//	qmail-clean
//
// It reads requests from descriptor 0, each ended by a NUL, and answers each with
// one byte on descriptor 1: + removed, ! could not be removed, x not understood.
// "foop/ID" removes a message's envelope under construction and its text,
// "todo/ID" its envelope. Now and then it removes what interrupted submissions
// left in queue/pid.
//
// # Exit status
//
// 0 at the end of its input, 100 if it cannot answer, 111 if there is no queue.
//
// # Security
//
// Runs as qmailq, the only daemon that may remove messages. Its requests come from
// qmail-send; whoever has taken that over can remove any message, but no file
// outside the queue, since a request holds nothing but digits.
package main

import (
	"quail/internal/clean"
	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/queue"
	"quail/internal/sandbox"
)

func main() {
	dir := queue.In(conf.Home)
	prog.Main("qmail-clean", clean.Run, prog.Frugal, sandbox.Around(sandbox.Wall{
		Write: []string{dir.Path("pid"), dir.Path("intd"), dir.Path("todo"), dir.Path("mess")},
	}))
}
