// Command qbiff announces a message on its recipient's terminals.
//
//	qbiff
//
// It is meant for a line "|qbiff" in a .qmail file, beside one that delivers. On
// every terminal where the recipient is logged in and has said "biff y" it shows the
// addresses, the subject and the start of the text. It finds out who is logged in
// from the variable USER and the system's list of logins, which it knows on Linux
// (/var/run/utmp); elsewhere it shows nothing.
//
// # Exit status
//
// 0, whatever happens.
//
// # Security
//
// Runs as the recipient, on a message written by a stranger. No byte of that reaches
// a terminal but printable ASCII.
package main

import (
	"quail/internal/prog"
	"quail/internal/qbiff"
)

func main() { prog.Main("qbiff", qbiff.Run) }
