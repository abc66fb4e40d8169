// Command relay-ctrl-check lets clients that have logged in lately send mail to anywhere.
//
//	relay-ctrl-check PROGRAM [ ARG ... ]
//
// It stands between tcpserver and an SMTP server. If the directory RELAY_CTRL_DIR has a
// file named TCPREMOTEIP that is not older than RELAY_CTRL_EXPIRY seconds, RELAYCLIENT is
// set, and USER and DOMAIN as they are in the file. An older one is removed. Then it
// becomes PROGRAM, whatever it has found.
//
// # Environment
//
//	TCPREMOTEIP              the client's address
//	RELAYCLIENT              if it is set already nothing is done
//	RELAY_CTRL_DIR_FD        the directory, as relay-ctrl-chdir has opened it
//	RELAY_CTRL_DIR           or else where it is
//	RELAY_CTRL_EXPIRY        how long a login counts, in seconds (900)
//	RELAY_CTRL_RELAYCLIENT   what RELAYCLIENT is set to (nothing)
//	RELAY_CTRL_LOG_IPS       if it is set, a line says what was found
//	RELAY_CTRL_LOG_ENV       if it is set, a line for USER and one for DOMAIN
//
// # Exit status
//
// That of PROGRAM, which takes its place; 1 for wrong usage, 111 if PROGRAM cannot be run.
//
// # Security
//
// Runs as qmaild before the SMTP server. The file may be anything that a user was able to
// put there: only a regular one counts, and only the first 8192 bytes of it. Where
// tcpserver keeps it running it can start no program and open no connection.
package main

import (
	"quail/internal/grant"
	"quail/internal/sandbox"
	"quail/internal/warm"
)

func main() {
	warm.Main("relay-ctrl-check", grant.Check, warm.Bounds{
		Jobs: 1000, Life: 100_000, Memory: 64 << 20, Files: 4,
		// Where the directory is stands in the environment of each job.
		Wall: sandbox.Around(sandbox.Wall{Write: []string{"/"}, Network: sandbox.None}),
	})
}
