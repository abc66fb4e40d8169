// Command qmail-queued puts messages into the queue for whoever calls at
// HOME/run/queue, as qmail-queue does for whoever starts it.
//
//	qmail-queued [ PARENT ]
//
// It is started by qmail-start, or by hand as qmailq, and runs until it gets a TERM or
// the process that started it, qmail-send by then, is gone; PARENT is its number.
// Messages in hand are finished first. On USR1, and at its end, it says on descriptor 2
// what it has done.
//
// # Exit status
//
// 0 at its end, 111 if there is no HOME/run to put the socket in, no account of the
// suite, or no such socket on this system.
//
// # Security
//
// Runs as qmailq. Any local user may call and send anything; the kernel says who it
// is. Messages are taken by a process of its own, "qmail-queued serve", which on Linux
// can read and write the queue and nothing else, runs nothing, and makes no
// connections. How many messages it takes at once is bounded, and for each user as
// well; no message is held in memory, and none takes longer than 24 hours.
package main

import (
	"quail/internal/prog"
	"quail/internal/queued"
)

// The mask is as qmail-queue's: qmail-send and the spawners read messages by group or
// as anybody.
func main() { prog.Main("qmail-queued", queued.Run, prog.Frugal, prog.Umask(0o33)) }
