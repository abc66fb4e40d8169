// Command qmail-keys has the private keys of this host used, by programs that speak TLS
// and must not know them.
//
//	qmail-keys
//
// It reads certificates and keys from the files that HOME/control/tlscerts names, else
// from HOME/control/servercert.pem, looks every two seconds whether they have changed,
// and runs qmail-keysd, which answers at HOME/auth/keys. It runs until it gets a TERM; on
// HUP it reads the files at once. The log goes to descriptor 2.
//
// # Exit status
//
// 0 at its end, 111 if there is no HOME/auth to put the socket in, no account of the
// suite, or another qmail-keys.
//
// # Security
//
// Runs as root, since only root can read such files, and does nothing but to read them:
// they are handed to qmail-keysd as they are. It never sees the network, nor anything
// that comes from there.
package main

import (
	"quail/internal/keys"
	"quail/internal/prog"
)

func main() { prog.Main("qmail-keys", keys.Run, prog.Umask(0o77)) }
