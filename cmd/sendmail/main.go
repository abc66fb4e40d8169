// Command sendmail sends a message, for programs that expect one of that name.
//
//	sendmail [-t] [-fsender] [-Fname] [-bp] [-bs] [arg ...]
//	mailq
//
// The message is standard input, up to its end: a line with a single dot is part
// of it. The recipients are the arguments.
//
//	-t  the recipients in the header get the message too
//	-f  the envelope sender, and the author if the header names none
//	-F  the author's full name; not together with -f
//	-bm send a message (the default)
//	-bp list the queue, as mailq does
//	-bs speak SMTP
//
// The options v, i, m and x, those that begin with E or J, and e, p, o and B with
// an argument are accepted and do nothing. As newaliases it runs the program of
// that name.
//
// # Exit status
//
// That of qmail-inject, qmail-qread, qmail-smtpd or newaliases; 100 if the options are wrong;
// 111 if the home directory or the program to run is missing.
//
// # Security
//
// Runs as the caller and executes only the programs named, by their path in
// the qmail home; what qmail-inject does it does itself where that is of its own
// build. A caller that takes addresses from strangers must put "--"
// before them.
package main

import (
	"quail/internal/conf"
	"quail/internal/inject"
	"quail/internal/prog"
	"quail/internal/sendmail"
)

func main() {
	prog.Main("sendmail", sendmail.Program{Inject: inject.Run, Mark: conf.Mark("qmail-inject")}.Run, prog.Single)
}
