// Command qmail-qmtpd receives mail by QMTP.
//
//	qmail-qmtpd
//
// It talks to the client on descriptors 0 and 1, where tcpserver or tcp-env puts the
// connection (port 209), and hands each message to qmail-queue, or to the program that
// $QMAILQUEUE names. A client may send any number of messages, and need not wait for
// the answers in between.
//
// # Control files
//
// rcpthosts and morercpthosts.cdb, the domains that mail is taken for; databytes (0), the
// largest message in bytes, 0 being no limit.
//
// Differs from qmail: without rcpthosts no recipient with a domain is accepted.
//
// # Environment
//
// RELAYCLIENT lets the client send to every domain, and is appended to each recipient.
// DATABYTES overrides control/databytes. TCPREMOTEIP, TCPREMOTEHOST, TCPREMOTEINFO,
// TCPLOCALHOST and TCPLOCALIP go into the Received line.
//
// # Exit status
//
// 0 when the client has hung up; 100 if it did not speak QMTP; 111 if the connection has
// lasted an hour, if a netstring or the list of recipients was too long, or if the control
// files cannot be read or qmail-queue cannot be run.
//
// # Security
//
// Runs as qmaild and reads what strangers send. It keeps one address of it in memory,
// and a byte for each recipient, writes no file and executes nothing but qmail-queue.
// Where qmail-queued takes its messages, on Linux, a sandbox lets it read the control
// files and call there, nothing else; without qmail-queued it may lead to the set-uid
// qmail-queue, and has none.
package main

import (
	"quail/internal/prog"
	"quail/internal/qmtp"
)

func main() { prog.Main("qmail-qmtpd", qmtp.QMTP, qmtp.Wall) }
