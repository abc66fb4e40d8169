// Command qmail-keysd signs with the private keys of this host, for programs that speak
// TLS and must not know them.
//
//	qmail-keysd
//
// It is run by qmail-keys, with the socket HOME/auth/keys as descriptor 0 and a pipe as
// descriptor 3, from which it learns certificates and keys. It says on descriptor 2 which
// certificates are in use, and what is wrong with those that are not.
//
// # Exit status
//
// 0 when qmail-keys has ended, 111 if it cannot do its work.
//
// # Security
//
// Runs as qmailp, with all private keys in its memory, which no other process can read.
// On Linux it can open no file, make no connection and run nothing. Who calls, members
// of the group nofiles, can have signed what servers sign in a TLS handshake.
package main

import (
	"quail/internal/keysd"
	"quail/internal/prog"
)

func main() { prog.Main("qmail-keysd", keysd.Run, prog.Descriptors(4)) }
