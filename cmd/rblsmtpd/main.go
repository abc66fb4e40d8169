// Command rblsmtpd refuses mail from clients that are on a list, and else runs an SMTP
// server.
//
//	rblsmtpd [ -bBcC ] [ -t timeout ] [ -r base ] [ -a base ] PROGRAM [ ARG ... ]
//
// It stands between tcpserver and qmail-smtpd. The client's address is looked up
// in lists, that is DNS zones, in the order of the options, until one decides: a.b.c.d as
// d.c.b.a.BASE, an IPv6 address by its 32 hexadecimal digits.
//
//	-r base       the client is refused if the name has a TXT record, with that text
//	-a base       the client is welcome if the name has an A record
//	-b, -B        with lists that follow, refuse for good (553) or for now (451, the default)
//	-c, -C        if a list does not answer, refuse for now, or let the client in (default)
//	-t timeout    seconds that a refused client has in all (60); with 0 it is told and left
//
// Without a list nobody is refused. A refused client meets a server that answers RCPT, DATA
// and all but the first steps of SMTP with the refusal; a line on descriptor 2 says so.
//
// # Environment
//
// TCPREMOTEIP is the client's address. RBLSMTPD, which tcprules can set, decides without
// lists: empty, the client is welcome; else it is refused with that text, for good if that
// begins with a hyphen, which is removed. DNSCACHEIP names the name servers to ask, if not
// those of /etc/resolv.conf.
//
// # Exit status
//
// That of PROGRAM, which takes rblsmtpd's place; 0 where the client was refused; 100 for a
// usage error, 111 if PROGRAM cannot be run.
//
// # Security
//
// Runs as qmaild before the SMTP server, on addresses and commands of strangers, and on
// answers of those who own the lists. Where tcpserver keeps it running it can read
// /etc/resolv.conf and ask name servers, and nothing else.
package main

import (
	"quail/internal/rblsmtpd"
	"quail/internal/sandbox"
	"quail/internal/warm"
)

func main() {
	warm.Main("rblsmtpd", rblsmtpd.Run, warm.Bounds{
		Jobs: 1000, Life: 100_000, Memory: 64 << 20, Files: 6,
		Wall: sandbox.Around(sandbox.Wall{Read: []string{"/etc/resolv.conf"}, Network: sandbox.Clients}),
	})
}
