// Command maildir2mbox moves mail from a Maildir to an mbox.
//
//	maildir2mbox
//
// It moves all messages in the Maildir $MAILDIR to the end of the mbox $MAIL, oldest
// first, so that a mail program can read them that knows no Maildir. $MAILTMP is the
// file in which the new mbox is made before it replaces the old one, and must be on the
// same file system. Names of both are relative to $MAILDIR.
//
// The mbox is locked with flock, as by qmail-local: mail programs that lock otherwise
// must not be running.
//
// # Exit status
//
// 0, or 111 with the reason on standard error; mbox and Maildir are then as they were. A
// message that is in the mbox and cannot be removed from the Maildir is only warned
// about.
//
// # Security
//
// Run by users on their own files. Messages are copied with their lines quoted, so that
// none can begin another; no name of a file comes from one.
package main

import (
	"quail/internal/maildir2mbox"
	"quail/internal/prog"
)

func main() { prog.Main("maildir2mbox", maildir2mbox.Run, prog.Umask(0o77)) }
