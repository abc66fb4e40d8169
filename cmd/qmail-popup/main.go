// Command qmail-popup reads a POP user name and password.
//
//	qmail-popup HOSTNAME SUBPROGRAM [ ARG ... ]
//
// It greets the client on descriptors 0 and 1 with a timestamp that contains
// HOSTNAME, takes USER and PASS, or APOP, and runs SUBPROGRAM, which reads name,
// password and timestamp, each ended by a NUL, from descriptor 3. A SUBPROGRAM that
// accepts them runs the POP server, with descriptors 0 and 1 as they were:
//
//	tcpserver 0 pop3 qmail-popup HOSTNAME checkpassword qmail-pop3d Maildir
//
// There is one attempt a connection. A client that is silent, or takes no replies,
// for 20 minutes is dropped. CAPA is answered, and commands may be sent without
// waiting for replies, also those for the POP server.
//
// # Exit status
//
// 1, whatever happened.
//
// # Security
//
// Usually runs as root, since SUBPROGRAM needs that to check passwords and to become
// the user, and reads what strangers send: lines of bounded length, a byte at a time. It
// opens no file, and executes nothing but SUBPROGRAM. Passwords cross the network as
// they are.
package main

import (
	"quail/internal/popup"
	"quail/internal/prog"
)

func main() { prog.Main("qmail-popup", popup.Run) }
