// Command maildirwatch shows what is new in a Maildir, twice a minute.
//
//	MAILDIR=./Maildir/ maildirwatch
//
// It clears the terminal and lists the messages that no reader has seen yet, oldest
// first: the envelope sender and the recipient, as the message's Return-Path and
// Delivered-To fields have them, the From field, and the subject with the start of
// the text. It goes on until it is stopped. The terminal must understand the sequences
// of a VT100.
//
// # Exit status
//
// 111 if $MAILDIR is not set or no Maildir, or the terminal has gone.
//
// # Security
//
// Runs as its caller, on messages written by strangers. No byte of those reaches the
// terminal but printable ASCII.
package main

import (
	"quail/internal/maildirwatch"
	"quail/internal/prog"
)

func main() { prog.Main("maildirwatch", maildirwatch.Run) }
