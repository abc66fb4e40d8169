// Command qmail-smtpd receives mail by SMTP.
//
//	qmail-smtpd [ host checkpassword [ arg ... ] ]
//
// It talks to the client on descriptors 0 and 1, where tcpserver, tcp-env or inetd
// puts the connection, and hands each message to qmail-queue, or to the program
// that $QMAILQUEUE names. It offers PIPELINING and 8BITMIME; STARTTLS where qmail-keys
// has a certificate; and AUTH where qmail-auth listens, or where a program to check
// passwords is named, which qmail-auth then runs. A message with a bare LF is refused,
// and the connection closed. Descriptor 2 is the log: whom it refuses to relay for, and
// why, who logs in and who fails to.
//
// # Control files
//
// smtpgreeting (default: me), the name it greets with; localiphost (default: me),
// the name that stands for an IP address of this host in an address; timeoutsmtpd
// (1200), seconds to wait for the client; databytes (0), the largest message in
// bytes, 0 being no limit; badmailfrom, senders or @domains whose mail is refused;
// rcpthosts and morercpthosts.cdb, the domains that mail is taken for.
//
// For those who log in: plaintextauth, 1 if passwords may come without TLS; senderlogins,
// who may use which sender; idhost, me and locals.
//
// Differs from qmail: without rcpthosts no recipient with a domain is accepted.
//
// # Environment
//
// RELAYCLIENT lets the client send to every domain, and is appended to each
// recipient; who has logged in may as well. SMTPS begins with TLS, FORCETLS=1 takes no
// mail without, SUBMISSION none without a login, nor from a sender that is not the
// login's, and completes the header. DATABYTES overrides control/databytes. TCPREMOTEIP, TCPREMOTEHOST,
// TCPREMOTEINFO, TCPLOCALHOST and TCPLOCALIP go into the Received line.
//
// # Exit status
//
// 0 after QUIT. 1 if the client hung up, was silent for too long or sent a bare LF, if
// TLS failed or too many logins did, or if the control files cannot be read: the client was told, if it was there.
//
// # Security
//
// Runs as qmaild and reads what strangers send. It keeps a bounded part of it in
// memory, writes no file and executes nothing but qmail-queue and, if it is given a
// program for passwords, qmail-auth. It has no private key: qmail-keys signs for it. A
// password passes through it to qmail-auth and is not kept. Where tcpserver keeps
// it running it serves many clients in one process, executes nothing at all and can
// open the control files alone; a job that needs more, since $QMAILQUEUE is set or
// qmail-queued is not there, gets a process of its own.
package main

import (
	"quail/internal/conf"
	"quail/internal/sandbox"
	"quail/internal/smtpd"
	"quail/internal/warm"
)

func main() {
	bounds := smtpd.Bounds()
	bounds.Wall = sandbox.Around(sandbox.Wall{Read: []string{conf.Home + "/control"}, Network: sandbox.Host})
	warm.Main("qmail-smtpd", smtpd.Program(), bounds)
}
