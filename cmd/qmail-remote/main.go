// Command qmail-remote delivers one message to another host by SMTP.
//
//	qmail-remote HOST SENDER RECIPIENT [RECIPIENT ...]
//
// The message is read from descriptor 0. It is taken to the best mail exchanger
// of HOST that can be connected to, or to the relay that control/smtproutes names
// for HOST. qmail-rspawn starts qmail-remote for each delivery.
//
// On descriptor 1 it reports, each report ended by a zero byte, first about the
// recipients in their order, if they were sent at all:
//
//	r        accepted
//	hTEXT    refused permanently
//	sTEXT    refused temporarily
//
// and then about the message:
//
//	KTEXT    accepted, for at least one recipient
//	ZTEXT    temporary failure
//	DTEXT    permanent failure
//
// # Control files
//
//	helohost        name to give in EHLO and HELO; default: me
//	smtproutes      HOST:RELAY, HOST:RELAY:PORT or HOST:RELAY:PORT USER, one a line;
//	                .HOST stands for all names below it, the empty HOST for all
//	                others; an empty RELAY for the mail exchangers
//	remotesecrets   RELAY:USER:SECRET, of users in smtproutes; mode 0400, qmailr's
//	tlsroutes       HOST:POLICY, HOST as in smtproutes: none, may, require, verify or
//	                implicit; default: may, or verify where there is a USER
//	tlscas          the authorities for verify and implicit; default: the system's
//	remotelimits    HOST:SESSIONS or HOST:SESSIONS:COUNT/PERIOD, see control/README.md;
//	                read only where qmail-rspawn keeps qmail-remote running
//	timeoutconnect  seconds to wait for a connection; default: 60
//	timeoutremote   seconds to wait for each reply; default: 1200
//
// # Exit status
//
// Always 0: the reports say it all.
//
// # Security
//
// Runs as qmailr. It talks to hosts that strangers choose and believes the name
// servers of /etc/resolv.conf, also about the names that certificates are to have. A
// secret is read for one session and shown by TLS alone. It writes nothing but queue/lock/tcpto, and a
// message cannot contain anything that the other host takes for the end of it.
package main

import (
	"quail/internal/conf"
	"quail/internal/remote"
	"quail/internal/sandbox"
	"quail/internal/warm"
)

func main() {
	run, end := remote.Program()
	// While it is warm the process is replaced now and then, whatever it may have
	// gathered.
	bounds := warm.Bounds{Jobs: 256, Life: 100_000, Memory: 64 << 20, Files: 6, End: end}
	warm.Main("qmail-remote", run, bounds, sandbox.Around(sandbox.Wall{
		Read:    append([]string{"/etc/resolv.conf", conf.Home + "/control"}, remote.Bundles...),
		Write:   []string{conf.Home + "/queue/lock/tcpto"},
		Network: sandbox.Clients,
	}))
}
