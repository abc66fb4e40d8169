// Package recordio records what a program and the network say to each other. See spec
// "Network", A5: each piece that is read makes lines on descriptor 2, each written at
// once.
//
// What is recorded is whatever the client sent, byte for byte: the log of recordio is
// for eyes and tools that can bear that.
package recordio

import (
	"bytes"
	"io"

	"quail/internal/prog"
	"quail/internal/relay"
)

// longestPiece is what is read at a time. A line and its mark are then written at once
// everywhere.
const longestPiece = 256

// Run is the program recordio.
func Run(p *prog.Process) error {
	return relay.Become(p, func(pid string) relay.Ways {
		return relay.Ways{
			ToProgram: record(p.Stderr, pid+" < "),
			ToNetwork: record(p.Stderr, pid+" > "),
			Piece:     longestPiece,
		}
	})
}

// record returns a stage that writes the lines of each piece to w: prefix, text, and a
// blank where the line ends or a plus sign where only the piece does.
func record(w io.Writer, prefix string) relay.Stage {
	var line []byte
	write := func(text []byte, end string) {
		line = append(append(append(line[:0], prefix...), text...), end...)
		w.Write(line) // what cannot be logged is passed on all the same
	}
	return func(piece []byte) []byte {
		if len(piece) == 0 {
			write(nil, "[EOF]\n")
			return nil
		}
		rest := piece
		for len(rest) > 0 {
			text, after, ended := bytes.Cut(rest, []byte("\n"))
			if ended {
				write(text, " \n")
			} else {
				write(text, "+\n")
			}
			rest = after
		}
		return piece
	}
}
