// Command qmail-local delivers or forwards one message.
//
//	qmail-local [ -nN ] USER HOMEDIR LOCAL DASH EXT DOMAIN SENDER DEFAULTDELIVERY
//
// It reads the message from descriptor 0, a file, and delivers it to LOCAL@DOMAIN
// by the instructions in the file .qmail, DASH and EXT in HOMEDIR: into mailboxes,
// to programs, to other addresses. Without that file, files whose names end in
// "default" answer, and where DASH is empty at last DEFAULTDELIVERY, which has the
// form of a .qmail file. SENDER is the envelope sender. qmail-lspawn starts it; the
// file's language is described in ARCHITECTURE.md, contract 9.
//
// Option -n says what would be done, and does not do it; -N takes -n back.
//
// Output is the report that qmail-send logs, and returns to the sender of a message
// that cannot be delivered: after success the number of instructions for files,
// forwarding and programs as "did F+W+P", and "qp N" if the message was forwarded.
//
// # Exit status
//
// 0 if all instructions were carried out, 100 if the message is to be returned to
// its sender, 111 if all instructions are to be tried again later.
//
// # Security
//
// Runs as the recipient, on a message and addresses written by a stranger, and runs
// the recipient's programs, which find those addresses in their environment. It
// refuses to deliver as root, in a home directory that everybody can write to, and
// by a .qmail file that everybody can write to.
package main

import (
	"quail/internal/local"
	"quail/internal/prog"
	"quail/internal/warm"
)

// bounds: all deliveries that qmail-send can ask for at once, of messages that are
// never held in memory.
var bounds = warm.Bounds{Jobs: 256, Life: 10000, Memory: 64 << 20, Files: 12}

func main() { warm.Main("qmail-local", new(local.Program).Run, bounds, prog.Umask(0o077)) }
