// Command qmail-popnet talks with a POP client until that logs in.
//
//	qmail-popnet HOSTNAME TIMESTAMP
//
// It is run by qmail-popup, as qmaild where that runs as root. It greets the client on
// descriptors 0 and 1 with TIMESTAMP, answers USER, PASS, APOP, CAPA, UTF8, NOOP and QUIT,
// and STLS where qmail-keys has a certificate, and writes name and password to descriptor
// 3. Then it ends, or passes everything between a client under TLS and descriptor 4,
// until the server behind that has ended or qmail-popup has.
//
// # Environment
//
// POP3S set: TLS comes before the greeting. FORCETLS=1: nobody can log in without TLS.
//
// # Exit status
//
// 0 if the client has logged in or gone, 111 if the connection had to be ended, as where
// TLS could not be negotiated; descriptor 2 has a line about that.
//
// # Security
//
// Reads what strangers send: lines of bounded length, a byte at a time, and TLS. On Linux
// it can open no file and run nothing, and makes no connection but to this host's own
// sockets. It sees the passwords of its client, and that client's mail if under TLS.
package main

import (
	"quail/internal/popnet"
	"quail/internal/prog"
	"quail/internal/sandbox"
)

func main() {
	prog.Main("qmail-popnet", popnet.Run, prog.Descriptors(5), sandbox.Around(sandbox.Wall{Network: sandbox.Syslog}))
}
