// Command qmail-popup reads a POP user name and password.
//
//	qmail-popup HOSTNAME SUBPROGRAM [ ARG ... ]
//
// It has the client on descriptors 0 and 1 greeted with a timestamp that contains
// HOSTNAME, and asked for USER and PASS, or APOP, by qmail-popnet, and runs SUBPROGRAM,
// which reads name, password and timestamp, each ended by a NUL, from descriptor 3. A
// SUBPROGRAM that accepts them runs the POP server, with descriptors 0 and 1 as they
// were, or with a socket to a client under TLS:
//
//	tcpserver 0 pop3 qmail-popup HOSTNAME checkpassword qmail-pop3d Maildir
//
// There is one attempt a connection. A client that is silent, or takes no replies,
// for 20 minutes is dropped. STLS, CAPA and UTF8 are answered, and commands may be sent
// without waiting for replies, also those for the POP server.
//
// # Environment
//
// POP3S set: TLS comes before the greeting, as on port 995. FORCETLS=1: nobody can log in
// without TLS. POP3UTF8 is set for SUBPROGRAM: on if the client has sent UTF8, else off.
//
// # Exit status
//
// 1, however the session ended; 111 if qmail-popnet cannot be run or has failed.
//
// # Security
//
// Usually runs as root, since SUBPROGRAM needs that to check passwords and to become
// the user. It reads nothing of what strangers send but a name and a password, which
// qmail-popnet, run as qmaild, hands over. It executes nothing but these two, and opens no
// file but the lists of accounts. Passwords cross the network as they are without TLS.
package main

import (
	"quail/internal/popup"
	"quail/internal/prog"
)

func main() { prog.Main("qmail-popup", popup.Run) }
