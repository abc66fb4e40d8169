// Command qmail-qctl shows and changes messages in the queue while qmail-send runs.
//
//	qmail-qctl list|show|requeue|expire|delete|hold|release
//		[ --json ] [ --dry-run ] [ --sender glob ] [ --recipient glob ]
//		[ --older age ] [ --younger age ] [ --all ] [ number ... ]
//
// A message is meant if all applies that is given: its number is among the numbers, its
// sender and one of its recipients that are left match the globs (* is any text, ? any
// byte, letters match in either case), its age is beyond --older and below --younger,
// as in 90s, 15m, 2h, 3d, 1w. list means all messages if nothing is given; everything
// else wants a choice, be it --all.
//
//	list     prints a line a message
//	show     prints its recipients too
//	requeue  has it tried now, unless it is held
//	expire   makes it older than queuelifetime: the next attempt is the last
//	delete   takes every recipient for done; nobody is told
//	hold     has it tried no more
//	release  has it tried now if it is held
//
// A message that is being delivered is said to be in hand: what has begun is brought to
// its end and counts. --dry-run prints what would be done, --json a line of JSON for
// each message. The changes are in the queue's own files, and hold for any qmail-send
// that comes after; a held message is due in 2106.
//
// If a number is not there nothing is changed at all. Where qmail-send does not run
// list and show read the queue themselves and the others change nothing.
//
// # Exit status
//
// 0; 100 for a number that is not there or a wrong command line; 111 if qmail-send does
// not run, if the caller may not ask, or if a message could not be read or changed.
//
// # Security
//
// Runs as its caller. qmail-send listens to root and qmails alone, at HOME/ctl/send,
// and the kernel says who calls.
package main

import (
	"quail/internal/prog"
	"quail/internal/qctl"
)

func main() { prog.Main("qmail-qctl", qctl.Run) }
