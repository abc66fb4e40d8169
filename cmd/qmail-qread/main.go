// Command qmail-qread lists the messages in the queue.
//
//	qmail-qread
//
// For each message it prints when it was preprocessed, its number, its size in
// bytes and its sender, then the recipients that have a local or a remote delivery
// to come, and those that are done. A message that has not been preprocessed yet
// is not listed. See qmail-qstat for numbers alone.
//
// # Exit status
//
// 0, or 111 if the queue could not be read. Trouble with one message is reported
// and does not end the list.
//
// # Security
//
// Runs as its caller, which has to be root or qmails to read the queue, and only
// reads. Addresses are strangers'; bytes that could steer a terminal are printed
// as underscores.
package main

import (
	"quail/internal/prog"
	"quail/internal/qread"
)

func main() { prog.Main("qmail-qread", qread.Run) }
