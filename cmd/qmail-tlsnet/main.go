// Command qmail-tlsnet speaks TLS for a program that knows nothing of it.
//
//	qmail-tlsnet
//
// It is run by qmail-tls, as qmaild where that runs as root. It shakes hands with the
// client on descriptors 0 and 1, writes to descriptor 4 what the program is to know of the
// session, and passes everything between the client and descriptor 3, until the program
// has closed its side.
//
// # Environment
//
// TCPLOCALHOST is the server that a client means that names none; TCPREMOTEIP stands in
// what goes to the log.
//
// # Exit status
//
// 0 if the program has ended, 111 if the client does not shake hands within a minute,
// there is no certificate, or the client takes nothing; descriptor 2 has a line about the
// first two.
//
// # Security
//
// Reads what strangers send, which is TLS, and has no private key. On Linux it can open no
// file and run nothing, and makes no connection but to this host's own sockets. It sees
// what its client and the program say to each other.
package main

import (
	"quail/internal/prog"
	"quail/internal/sandbox"
	"quail/internal/tlsnet"
)

func main() {
	prog.Main("qmail-tlsnet", tlsnet.Run, prog.Descriptors(5), sandbox.Around(sandbox.Wall{Network: sandbox.Syslog}))
}
