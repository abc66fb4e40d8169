// Command qmail-send delivers the messages in the queue.
//
//	qmail-send
//
// It is started by qmail-start, which gives it descriptors 0 to 6: the log, and
// pipes to and from qmail-lspawn, qmail-rspawn and qmail-clean. TERM makes it
// finish the deliveries under way and exit, ALRM try everything now, HUP read
// control/locals and control/virtualdomains again.
//
// # Exit status
//
// 0 after TERM; 111 if it cannot start, which the log explains.
//
// # Security
//
// Runs as qmails. It reads envelopes that any local user may have written and
// reports in which remote hosts and users' programs have their say. It can write
// below queue/info, local, remote and bounce, and start qmail-queue.
package main

import (
	"quail/internal/prog"
	"quail/internal/send"
)

func main() {
	prog.Main("qmail-send", send.Run, prog.Frugal, prog.Descriptors(7), prog.Umask(0o77))
}
