// Command qmail-qcheck finds what is inconsistent in the queue, and mends it.
//
//	qmail-qcheck [ --json ] [ --repair ]
//
// It prints a line for everything that is wrong: a kind, a file below the queue, and
// what is wrong with it.
//
//	copy      no message's number is that of its inode: the queue has been copied
//	name      one message's is not
//	place     a file lies in another subdirectory than its number says
//	split     there are subdirectories that no program looks into
//	tree      a directory, or a file of lock, is missing or has a wrong owner or mode
//	strange   a name that no file of a message has
//	type      a file of a message that is none
//	owner     one with a wrong owner or mode
//	orphan    one whose message is not there, or is in another state
//	debris    a message without an envelope, older than 36 hours
//	records   an envelope that is not in form
//	unfinish  a repair was interrupted
//
// A queue at work may be checked: what is wrong only for a moment is not told.
//
// --repair needs qmail-send to be stopped. It gives messages the numbers of their
// inodes, moves files to where they belong, makes what is missing, and sets owners and
// modes. What cannot be mended, an orphan or a message with a broken envelope, is moved
// to queue/quarantine, which no program looks into, as PART.NUMBER.INODE. Nothing is
// removed. A repair that was interrupted is finished by the next one, which should not
// be later than 36 hours after it. --json prints lines of JSON.
//
// # Exit status
//
// 0 if nothing is wrong, or nothing is any more; 1 if something is; 111 if it could not
// be looked at, or qmail-send runs and should not; 100 for a wrong call.
//
// # Security
//
// Run by root, in directories of qmailq and qmails, on envelopes that any local user
// may have written. It follows no links of theirs, and starts nothing.
package main

import (
	"quail/internal/prog"
	"quail/internal/qcheck"
	"quail/scripts"
)

func main() { prog.Main("qmail-qcheck", run, prog.Umask(0o77)) }

func run(p *prog.Process) error { return qcheck.Run(p, scripts.Files) }
