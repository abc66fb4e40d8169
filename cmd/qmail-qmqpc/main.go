// Command qmail-qmqpc puts a message into the queue of another host, by QMQP.
//
//	qmail-qmqpc <MESSAGE 1<ENVELOPE
//
// It takes what qmail-queue takes: a message on descriptor 0 and, on descriptor 1, an
// envelope. On a host without a queue bin/qmail-queue is a link to it. The servers in
// control/qmqpservers, IP addresses, one a line, are tried in order, at port 628, until one
// has taken the message or will not have it for good.
//
// Differs from qmail: a server that says it cannot take the message now, or leaves before
// it can have all of it, is passed over as well; a message that does not fit into a small
// part of memory waits in /tmp, in a file that nobody else can open.
//
// # Exit status
//
// 0 the server has queued the message; 11 address too long; 31 the server will never take
// it; 53 no room for the message; 54 message unreadable; 55 no servers; 56 no socket; 61
// trouble with the home; 71 the server cannot take it now; 72 connecting took too long; 73
// connecting failed; 74 the connection failed, and the server may have queued the message;
// 91 bad envelope. 11 to 40 mean that trying again is useless.
//
// # Security
//
// Runs with the rights of its caller, and refuses to run set-uid. It talks to the servers
// that the administrator has listed and believes what they say. On Linux a sandbox lets
// it read its control file, use /tmp and connect, nothing else.
package main

import (
	"quail/internal/prog"
	"quail/internal/qmqpc"
)

func main() { prog.Main("qmail-qmqpc", qmqpc.Run, qmqpc.Wall) }
