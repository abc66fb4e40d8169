// Command qmail-queue puts a message into the queue.
//
//	qmail-queue <MESSAGE 1<ENVELOPE
//
// It reads a message from descriptor 0 and, from descriptor 1, an envelope: F and
// the sender, T and each recipient, every one ended by a NUL, then one more NUL.
// When it exits with 0 the message is on disk and will be delivered.
//
// # Exit status
//
// 0 queued; 11 address too long; 52 not done within 24 hours; 53 write error or
// disk full; 54 message or envelope ended early; 61 to 66 trouble with the home,
// the queue, pid, mess, intd or todo; 81 internal bug; 91 bad envelope; 111 the
// suite's accounts are missing, or this program is not set-uid and there is no
// qmail-queued to do its work. 11 to 40 mean that trying again is useless.
//
// # Security
//
// Set-uid qmailq: arguments, environment, descriptors, limits and signals are a
// stranger's. It ignores the first two, runs nothing, and opens nothing outside
// HOME/queue but the password file; on Linux a sandbox holds it to that. Without the
// set-uid bit it can do no more than its caller, and hands the message to qmail-queued.
package main

import (
	"quail/internal/enqueue"
	"quail/internal/prog"
)

// The mask is set here, since the caller's must not decide who can read a message:
// qmail-send and the spawners do, by group or as anybody.
func main() { prog.Main("qmail-queue", enqueue.Run, prog.Single, prog.Umask(0o33), enqueue.Wall) }
