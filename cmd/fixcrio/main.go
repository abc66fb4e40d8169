// Command fixcrio runs a program and completes the ends of lines.
//
//	fixcrio PROGRAM [ ARG ... ]
//
// It is put before a program in a chain, as in "tcpserver 0 25 fixcrio qmail-smtpd".
// What PROGRAM reads from descriptor 0 and writes to descriptor 1 passes through it, and
// every LF that has no CR before it is given one. It lets clients in that end lines with
// LF alone, which qmail-smtpd refuses.
//
// # Exit status
//
// That of PROGRAM, which takes fixcrio's place and has the part that reads and writes as
// a child. 100 for a usage error, 111 if PROGRAM cannot be run.
//
// # Security
//
// A client that ends lines in another way than PROGRAM's peers may smuggle in commands,
// where another server has passed its message on. Use it for clients of your own.
package main

import (
	"quail/internal/crlf"
	"quail/internal/prog"
	"quail/internal/relay"
)

func main() { prog.Main("fixcrio", run) }

// longestPiece is what is read at a time, in bytes.
const longestPiece = 8192

func run(p *prog.Process) error {
	return relay.Become(p, func(string) relay.Ways {
		return relay.Ways{ToProgram: fix(), ToNetwork: fix(), Piece: longestPiece}
	})
}

// fix returns a stage for one direction.
func fix() relay.Stage {
	f, out := crlf.NewFilter(crlf.Fix), []byte(nil)
	return func(piece []byte) []byte {
		out = f.Append(out[:0], piece)
		return out
	}
}
