// Command qmail-auth answers who a client of qmail-smtpd is, at HOME/auth/login.
//
//	qmail-auth
//	qmail-auth -d SOCKET
//	qmail-auth PROGRAM [ ARG ... ]
//	qmail-auth -0 PROGRAM [ ARG ... ]
//
// Passwords are checked by users/mailauth; with -d by Dovecot, whose authentication
// service listens at SOCKET; or by PROGRAM, any checkpassword: it finds name, password and
// timestamp on descriptor 3, or for CRAM-MD5 name, digest and challenge, and exits with 0
// for right and 1 for wrong. It may take a minute; 20 run at once.
//
// It makes the socket and has qmail-authd answer there, which it becomes unless there is
// a PROGRAM to be run. Without root it can be started as qmailp. With -0 it has that
// answer on descriptor 0 instead, as whoever starts it: so qmail-smtpd does with a PROGRAM
// of its own.
//
// # Exit status
//
// 111 if there is no HOME/auth to put the socket in, no account of the suite, or no such
// socket on this system; else that of qmail-authd, 0 when whoever called on descriptor 0
// has hung up.
//
// # Security
//
// Runs as root where PROGRAM needs that, and understands nothing that a stranger has
// sent: all that qmail-authd, which runs as qmailp, can have from it is one program run,
// the one of its own command line, with a record of at most 512 bytes. What PROGRAM says
// goes to descriptor 2.
package main

import (
	"quail/internal/auth"
	"quail/internal/prog"
)

func main() { prog.Main("qmail-auth", auth.Run, prog.Umask(0o77)) }
