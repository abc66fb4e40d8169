// Command recordio runs a program and records what it reads and writes.
//
//	recordio PROGRAM [ ARG ... ]
//
// It is put before a program in a chain, as in "tcpserver 0 110 recordio qmail-popup
// ...". What PROGRAM reads from descriptor 0 and writes to descriptor 1 passes through
// it, unchanged, and is shown on descriptor 2, line by line:
//
//	5135 < USER joe
//	5135 > +OK
//
// The number is the process id of PROGRAM; < is input, > output. Behind a line stands a
// blank, behind a part of a line a plus sign; the end is [EOF]. At most 256 bytes are
// shown in one line.
//
// # Exit status
//
// That of PROGRAM, which takes recordio's place and has the part that records as a
// child. 100 for a usage error, 111 if PROGRAM cannot be run.
//
// # Security
//
// Shows passwords and everything else, in bytes that strangers choose.
package main

import (
	"quail/internal/prog"
	"quail/internal/recordio"
)

func main() { prog.Main("recordio", recordio.Run) }
