// Command qmail-qmqpd receives mail by QMQP from hosts that have no queue of their own.
//
//	qmail-qmqpd
//
// It talks to the client on descriptors 0 and 1, where tcpserver or tcp-env puts the
// connection (port 628), takes one message and hands it to qmail-queue, or to the program
// that $QMAILQUEUE names. It has no control files and takes mail from everybody to
// everybody: the rules of tcpserver have to name the clients, and deny all others.
//
// # Environment
//
// TCPREMOTEIP, TCPREMOTEHOST, TCPREMOTEINFO, TCPLOCALHOST and TCPLOCALIP go into the
// Received line.
//
// # Exit status
//
// 0 when the client was answered or has hung up; 100 if it did not speak QMQP; 111 if the
// connection has lasted an hour, if a netstring was too long, or if qmail-queue cannot be
// run.
//
// # Security
//
// Runs as qmaild. Whoever may connect can have any mail sent. It keeps one address in
// memory, writes no file and executes nothing but qmail-queue. Where qmail-queued takes
// its messages, on Linux, a sandbox lets it read the control files and call there, nothing
// else; without qmail-queued it may lead to the set-uid qmail-queue, and has none.
package main

import (
	"quail/internal/prog"
	"quail/internal/qmtp"
)

func main() { prog.Main("qmail-qmqpd", qmtp.QMQP, qmtp.Wall) }
