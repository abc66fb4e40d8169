// Command relay-ctrl-allow lets the client that has logged in send mail to anywhere.
//
//	relay-ctrl-allow [ PROGRAM [ ARG ... ] ]
//
// It stands behind the program that checks the password and before the one that serves
// the mailbox, or is called by a server's hook for logins. It makes or renews the file
// named TCPREMOTEIP in the directory RELAY_CTRL_DIR, with USER and DOMAIN in it, and
// becomes PROGRAM. Whatever goes wrong with that is told on descriptor 2; the login goes
// on.
//
// # Environment
//
// TCPREMOTEIP is the client's address. RELAY_CTRL_DIR must be set; if RELAY_CTRL_DIR_FD is
// too, the directory is the one that relay-ctrl-chdir has opened. USER and DOMAIN are
// whose login it is. Where AUTHUSER and AUTHARGV0 are set, as Courier does, nothing is
// done unless AUTHENTICATED is not empty.
//
// # Exit status
//
// That of PROGRAM, or 0; 111 if there is no address in TCPREMOTEIP or PROGRAM cannot be
// run.
//
// # Security
//
// Runs as whoever has logged in, or as root. The name of the file is made of an address
// that was parsed, so it has neither a slash nor a dot at its beginning, and the file
// itself is a new one each time: nothing that another user has put there is written to.
package main

import (
	"quail/internal/grant"
	"quail/internal/prog"
)

func main() { prog.Main("relay-ctrl-allow", grant.Allow) }
