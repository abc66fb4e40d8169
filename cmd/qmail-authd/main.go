// Command qmail-authd is the half of qmail-auth that answers.
//
//	qmail-authd [ -0 ] [ -r | -d SOCKET ]
//
// qmail-auth starts it, or becomes it, with the socket of HOME/auth/login as descriptor 0,
// or with -0 a connection. With -r descriptor 3 leads to a qmail-auth that runs a
// checkpassword program; with -d Dovecot's authentication service listens at SOCKET; else
// it reads users/mailauth. It counts what is submitted by control/submissionlimits.
//
// # Exit status
//
// 0 when there is nobody left to answer, or to ask; 111 if it cannot listen.
//
// # Security
//
// Runs as qmailp and reads what qmail-smtpd passes on from strangers. On Linux it can read
// control/ and, if it needs them, the files below users/, runs nothing, calls nobody but,
// with -d, sockets of this host, and cannot be looked into by others of its user. Whoever
// has taken it over can say yes to anybody, and can read users/mailauth, or try passwords
// without delay; not more.
package main

import (
	"quail/internal/authd"
	"quail/internal/prog"
)

func main() { prog.Main("qmail-authd", authd.Run, prog.Descriptors(4)) }
