// Command qmail-upq moves the files of a queue to where programs built for another
// split look for them.
//
//	qmail-upq
//
// The queue keeps the files of messages in numbered subdirectories, whose number is
// built in. After make build SPLIT=… with another number, or with a queue from before
// there were subdirectories: stop qmail-send and everything that queues mail, run
// bin/qmail-upq of the new build, then make install. What is in its place already is
// left alone, so a run that was interrupted is finished by another one.
//
// # Exit status
//
// 0, or 111 if qmail-send is running or something could not be moved.
//
// # Security
//
// Run by the administrator. In the queue's directories, which only qmailq and qmails
// can write to, it renames files whose names are numbers, and makes and removes
// subdirectories.
package main

import (
	"quail/internal/prog"
	"quail/internal/upq"
)

func main() { prog.Main("qmail-upq", upq.Run, prog.Umask(0o77)) }
