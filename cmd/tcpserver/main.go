// Command tcpserver accepts TCP connections and runs a program for each.
//
//	tcpserver [ -1UXpPhHrRsSoOdDqQv ] [ -c limit ] [ -x rules.cdb ] [ -B banner ]
//	    [ -g gid ] [ -u uid ] [ -b backlog ] [ -l localname ] [ -t timeout ]
//	    host port program [ arg ... ]
//
// The program has the connection as descriptors 0 and 1, tcpserver's own
// descriptor 2, and whose connection it is in the environment: PROTO, TCPLOCALIP,
// TCPLOCALPORT, TCPLOCALHOST, TCPREMOTEIP, TCPREMOTEPORT, TCPREMOTEHOST and
// TCPREMOTEINFO. A variable without a value is removed.
//
// host is an address of this machine, a name of one, or 0 for all IPv4 addresses;
// :: stands for all IPv6 addresses and takes no IPv4 connections, so that a
// service on both is two tcpservers. PROTO is TCP, or TCP6 on IPv6. port is a
// number or the name of a service; 0 lets the system choose.
//
//	-q, -Q, -v    write nothing, errors (the default), errors and connections
//	-c limit      at most so many connections at once; others wait (40). The limit on
//	              open files is raised for them as far as it may be
//	-x rules.cdb  allow, deny or set variables by rules made with tcprules
//	-X            allow all while rules.cdb does not exist
//	-B banner     send banner at once, before names, user and rules
//	-g gid        numbers of the group and
//	-u uid        the user to run as, once the port is open
//	-U            the same, from $GID and $UID
//	-1            write the number of the port to descriptor 1
//	-b backlog    how many connections the system queues (20)
//	-o, -O        leave or remove (default) IP options
//	-d, -D        delay small packets (default), or do not
//	-h, -H        look up the client's name (default), or do not
//	-p, -P        use the name only if it leads back to the client, or always (default)
//	-l localname  value of TCPLOCALHOST, instead of asking for it
//	-r, -R        ask the client's ident server for the user (default), or do not
//	-t timeout    seconds that ident server has in all (26)
//
//	-s, -S        have qmail-tls shake hands with the client before program is run, or do
//	              not (default); there is no banner with -s
//
// A program that can be kept running between connections is (package warm): many
// connections are then served by one process, and the numbers in the log, above all
// process ids, are those of its jobs. SIGUSR1 has the log say how many there were.
//
// SIGTERM ends tcpserver; programs that it started live on. $DNSCACHEIP names the
// name servers to ask, if not those of resolv.conf.
//
// # Exit status
//
// 0 after SIGTERM, 100 for a usage error, 111 if it cannot listen or cannot give
// up root.
//
// # Security
//
// Run as root for a port below 1024, with -U or with -u and -g: then root is gone
// before the first connection is accepted. Connections are a stranger's, and so is
// what name servers and ident servers answer: it is bounded, cleaned, and used for
// nothing but the rules, the environment and the log.
package main

import (
	"quail/internal/prog"
	"quail/internal/tcpserver"
)

func main() { prog.Main("tcpserver", tcpserver.Run, prog.Frugal) }
