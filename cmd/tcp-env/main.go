// Command tcp-env finds out whose connection it has, and runs a server for it.
//
//	tcp-env [ -rR ] [ -t timeout ] PROGRAM [ ARG ... ]
//
// It is for servers that inetd starts: descriptor 0 must be a TCP connection. It sets PROTO,
// TCPLOCALIP, TCPLOCALPORT, TCPLOCALHOST, TCPREMOTEIP, TCPREMOTEPORT, TCPREMOTEHOST and
// TCPREMOTEINFO, and becomes PROGRAM. A name that cannot be looked up for now is
// softdnserror; a variable without a value is removed. Where PROTO is TCP or TCP6 already
// nothing is done but that.
//
//	-r, -R      ask the client's ident server for the user (default), or do not
//	-t timeout  seconds that ident server has in all (30)
//
// $DNSCACHEIP names the name servers to ask, if not those of resolv.conf.
//
// # Exit status
//
// That of PROGRAM; 111, without a word, if there is none, if it cannot be run, or if
// descriptor 0 is not a TCP connection.
//
// # Security
//
// Runs as the server will, mostly qmaild. What name servers and an ident server answer is a
// stranger's: it is bounded, cleaned, and used for nothing but the environment.
package main

import (
	"quail/internal/prog"
	"quail/internal/tcpenv"
)

func main() { prog.Main("tcp-env", tcpenv.Run) }
