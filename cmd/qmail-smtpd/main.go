// Command qmail-smtpd receives mail by SMTP.
//
//	qmail-smtpd
//
// It talks to the client on descriptors 0 and 1, where tcpserver, tcp-env or inetd
// puts the connection, and hands each message to qmail-queue, or to the program
// that $QMAILQUEUE names. It offers PIPELINING and 8BITMIME. A message with a bare
// LF is refused, and the connection closed.
//
// # Control files
//
// smtpgreeting (default: me), the name it greets with; localiphost (default: me),
// the name that stands for an IP address of this host in an address; timeoutsmtpd
// (1200), seconds to wait for the client; databytes (0), the largest message in
// bytes, 0 being no limit; badmailfrom, senders or @domains whose mail is refused;
// rcpthosts and morercpthosts.cdb, the domains that mail is taken for.
//
// Differs from qmail: without rcpthosts no recipient with a domain is accepted.
//
// # Environment
//
// RELAYCLIENT lets the client send to every domain, and is appended to each
// recipient. DATABYTES overrides control/databytes. TCPREMOTEIP, TCPREMOTEHOST,
// TCPREMOTEINFO, TCPLOCALHOST and TCPLOCALIP go into the Received line.
//
// # Exit status
//
// 0 after QUIT. 1 if the client hung up, was silent for too long or sent a bare LF,
// or if the control files cannot be read: the client was told, if it was there.
//
// # Security
//
// Runs as qmaild and reads what strangers send. It keeps a bounded part of it in
// memory, writes no file and executes nothing but qmail-queue.
package main

import (
	"quail/internal/prog"
	"quail/internal/smtpd"
)

func main() { prog.Main("qmail-smtpd", smtpd.Run) }
