// Command qmail-passwd sets the password of a login that is for mail alone.
//
//	qmail-passwd [ -s ] [ -u account ] login
//	qmail-passwd -d login
//
// The password is asked for twice at the terminal, or is the first line of standard
// input if that is none. It goes into users/mailauth as two verifiers, from which it
// cannot be had but by guessing: enough for PLAIN, LOGIN and SCRAM. Whoever logs in by
// the next connection uses the new one.
//
//	-s            keep the password itself, too: CRAM-MD5, DIGEST-MD5 and APOP need it. Who
//	              reads the file then has it.
//	-u account    the login has its mail in this account of the host; without it, in the
//	              one that was named before, or in the account of its own name
//	-d            remove the login
//
// # Exit status
//
// 0; 100 for a login or a password that cannot be, for two passwords that differ, for a
// login to be removed that is not there and for a usage error; 111 with the reason on
// standard error. The file is as it was then.
//
// # Security
//
// Run by the administrator. The file belongs to qmailp, under which qmail-auth checks
// passwords, and nobody else but root can read it. It is replaced as a whole, and on
// disk when qmail-passwd ends; two of them at once wait for each other.
package main

import (
	"quail/internal/passwd"
	"quail/internal/prog"
)

func main() { prog.Main("qmail-passwd", passwd.Run, prog.Umask(0o77)) }
