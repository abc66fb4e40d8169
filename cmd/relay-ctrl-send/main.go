// Command relay-ctrl-send tells other hosts that a client has logged in.
//
//	relay-ctrl-send PROGRAM [ ARG ... ]
//
// It stands where relay-ctrl-allow does and becomes PROGRAM at once. Another process sends
// TCPREMOTEIP to relay-ctrl-udp on each of RELAY_CTRL_REMOTES, IPv4 addresses with commas
// between them, until they have answered.
//
// # Environment
//
//	TCPREMOTEIP          the client's address
//	RELAY_CTRL_REMOTES   the hosts to be told
//	RELAY_CTRL_PORT      the port to be told at (811)
//	RELAY_CTRL_TRIES     how often one is told that does not answer (5)
//	RELAY_CTRL_TIMEOUT   how many seconds are waited each time (1)
//
// Where AUTHUSER and AUTHARGV0 are set, as Courier does, nothing is sent unless
// AUTHENTICATED is not empty.
//
// # Exit status
//
// That of PROGRAM; 111 for wrong usage, if there is no address in TCPREMOTEIP, or if
// PROGRAM cannot be run.
//
// # Security
//
// Runs as whoever has logged in. An answer is one byte from an address that was asked,
// which anybody on the way can forge: then that host is not told again.
package main

import (
	"quail/internal/grant"
	"quail/internal/prog"
)

func main() { prog.Main("relay-ctrl-send", grant.Send) }
