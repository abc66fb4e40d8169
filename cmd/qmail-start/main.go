// Command qmail-start turns on mail delivery.
//
//	qmail-start [ DEFAULTDELIVERY [ LOGGER [ ARG ... ] ] ]
//
// It starts LOGGER, qmail-lspawn, qmail-rspawn and qmail-clean, found along PATH,
// each under its own user, and becomes qmail-send. DEFAULTDELIVERY, "./Mailbox" if
// it is not given, is what .qmail files would say. Without LOGGER the log goes to
// standard output.
//
// # Exit status
//
// 111 if a program cannot be started. Else it does not exit: it is qmail-send now.
//
// # Security
//
// Runs as root, from the host's boot scripts, on the administrator's arguments.
package main

import (
	"quail/internal/prog"
	"quail/internal/start"
)

func main() { prog.Main("qmail-start", start.Run, prog.Umask(0o77)) }
