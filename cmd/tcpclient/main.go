// Command tcpclient connects to a host and runs a program for the connection.
//
//	tcpclient [ -hHrRdDqQv ] [ -i localip ] [ -p localport ] [ -T x+y ]
//	    [ -l localname ] [ -t timeout ] host port program [ arg ... ]
//
// The program reads from the connection by descriptor 6 and writes to it by descriptor 7;
// it has tcpclient's own 0, 1 and 2. Whose connection it is stands in the environment:
// PROTO, TCPLOCALIP, TCPLOCALPORT, TCPLOCALHOST, TCPREMOTEIP, TCPREMOTEPORT,
// TCPREMOTEHOST and TCPREMOTEINFO. A variable without a value is removed.
//
// host is an address, a name, or 0 for this machine; port is a number or the name of a
// service. The addresses of a name are tried in turn.
//
//	-q, -Q, -v    write nothing, errors (the default), errors and the address
//	-T x+y        wait x seconds (2) for each address, and then again y seconds (58) for
//	              those that did not answer; x+y at once if there is only one
//	-i localip    connect from that address
//	-p localport  and that port, instead of those that the system chooses
//	-d, -D        delay small packets (default), or do not
//	-h, -H        look up the other host's name (default), or do not
//	-l localname  value of TCPLOCALHOST, instead of asking for it
//	-r, -R        ask the other host's ident server for a user (default), or do not
//	-t timeout    seconds that ident server has in all (26)
//
// $DNSCACHEIP names the name servers to ask, if not those of resolv.conf.
//
// # Exit status
//
// That of the program; 100 for a usage error, 111 if there is no connection or the program
// cannot be run.
//
// # Security
//
// Runs as the caller. What name servers and an ident server answer is a stranger's: it is
// bounded, cleaned, and used for nothing but the environment.
package main

import (
	"quail/internal/prog"
	"quail/internal/tcpclient"
)

func main() { prog.Main("tcpclient", tcpclient.Run, prog.Reserve(tcpclient.Descriptors)) }
