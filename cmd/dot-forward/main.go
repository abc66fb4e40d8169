// Command dot-forward does what a .forward file says.
//
//	dot-forward [ -nN ] FILE ...
//
// It is meant for a .qmail file, or the default delivery, whose first line is then
// "|dot-forward .forward" and whose next ones deliver to the user's mailbox. The first
// FILE that exists and has something in it counts: the message is forwarded to its
// addresses, and fed to its programs, "|command", under the lines in UFLINE, RPLINE
// and DTLINE. An address that is the user's own, USER or USER@HOST, stands for the
// rest of .qmail.
//
//	-n  print what would be done, and do nothing
//	-N  do it (the default)
//
// Lines with files to deliver to and :include: are refused: .qmail files have better.
//
// # Exit status
//
// 99, which ends the .qmail file, if all was done; 0 if there is nothing to do or the
// user's own address is there as well; 100 if a program or the queue refuses the
// message for good; 111 for all else, such as a line that is no list of addresses.
//
// # Security
//
// Runs as the recipient, with a message and its sender from a stranger, which it
// copies and does not look at. Programs and addresses are the recipient's.
package main

import (
	"quail/internal/dotforward"
	"quail/internal/prog"
)

func main() { prog.Main("dot-forward", dotforward.Run) }
