// Command qmail-inject completes a message and puts it into the queue.
//
//	qmail-inject [-nNaAhH] [-fsender] [recip ...]
//
// It reads the message from standard input, writes the header fields that are
// missing, completes the addresses in the others, and hands the result to
// qmail-queue.
//
//	-a  the recipients are the arguments
//	-h  the recipients are those of the header
//	-H  both
//	-A  the arguments if there are any, else the header (the default)
//	-n  print the message instead of queueing it
//	-N  queue it (the default)
//	-f  the envelope sender
//
// Names that complete addresses come from $QMAILDEFAULTDOMAIN, $QMAILDEFAULTHOST,
// $QMAILPLUSDOMAIN and $QMAILIDHOST, or from the control files defaultdomain,
// defaulthost, plusdomain and idhost. The author is $QMAILUSER at $QMAILHOST, with
// the full name $QMAILNAME; the envelope sender $QMAILSUSER at $QMAILSHOST. If
// $QMAILMFTFILE names a file with the user's mailing lists, messages to one of
// them get a Mail-Followup-To field. $QMAILINJECT holds letters: c, the full name
// is a comment; s, f and i, Return-Path, From and Message-ID fields of the message
// are dropped; r and m, the envelope sender differs by recipient or by message.
//
// # Exit status
//
// 0 if the message is queued, also without any recipient; 100 if it never will
// be; 111 if trying again may help.
//
// # Security
//
// Runs as the caller. The header is read and an address in it can become one
// record of the envelope at most; the body only passes through.
package main

import (
	"quail/internal/inject"
	"quail/internal/prog"
)

func main() { prog.Main("qmail-inject", inject.Run, prog.Single) }
