// Package relay puts a process between a program and the network: what the client
// sends and what the program answers passes through it, and may be recorded or changed
// there. See spec "Network", A5 and A6.
//
// The caller's process becomes the program, so that whoever started it sees the
// program's process id and status. The relay is a child of that, the same file run once
// more: QUAIL_RELAY in its environment has the number of its parent, and descriptors 3
// and 4 are pipes to and from the program. It ends when the program's output does.
//
// Differs from qmail: when the program has stopped reading, what it still says reaches
// the client, and what the client says is passed over. The original ends then, and with
// it what stood in its pipe.
//
// Both ends are foreign. The relay holds one piece of each direction and nothing else.
package relay

import (
	"fmt"
	"io"
	"os"

	"quail/internal/proc"
	"quail/internal/prog"
)

// variable tells the relay whose it is.
const variable = "QUAIL_RELAY"

// Stage is what is done with a piece on its way. It returns what is to be passed on,
// which is used before the next call. An empty piece is the end.
type Stage func(piece []byte) []byte

// Ways are the stages of the two directions, and how long a piece may be.
type Ways struct {
	ToProgram, ToNetwork Stage
	Piece                int // bytes
}

// Become makes p the program that its arguments name, with a relay that passes
// everything through the ways for its process id.
func Become(p *prog.Process, ways func(pid string) Ways) error {
	if pid, set := p.Env.Lookup(variable); set && len(p.Args) == 0 {
		return run(p, ways(pid))
	}
	if len(p.Args) == 0 {
		return prog.Usage(p.Name + " program [ arg ... ]")
	}
	fromRelay, toProgram, err := os.Pipe()
	if err != nil {
		return prog.Fail("unable to create pipe", err)
	}
	fromProgram, toRelay, err := os.Pipe()
	if err != nil {
		return prog.Fail("unable to create pipe", err)
	}
	self, err := os.Executable()
	if err != nil {
		return prog.Fail("unable to find myself", err)
	}
	relay := proc.Command{
		Args: []string{self}, Env: prog.Env{fmt.Sprintf("%s=%d", variable, p.PID)}, Dir: p.Dir,
		Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr, Extra: []*os.File{toProgram, fromProgram},
	}
	if _, err := relay.Start(); err != nil {
		return prog.Fail("unable to fork", err)
	}
	return &prog.Become{Args: p.Args, Env: p.Env, Files: map[int]*os.File{0: fromRelay, 1: toRelay}}
}

// run is the relay itself.
func run(p *prog.Process, w Ways) error {
	if err := prog.Descriptors(5)(p); err != nil {
		return err
	}
	toProgram, fromProgram := p.Extra[0], p.Extra[1]
	if toProgram == nil || fromProgram == nil {
		return prog.Exit(prog.StatusTemporary)
	}
	go func() {
		err := pass(toProgram, p.Stdin, w.ToProgram, w.Piece)
		toProgram.Close()
		if err != nil {
			// A client with something unread would be told of an error before the answer.
			pass(io.Discard, p.Stdin, w.ToProgram, w.Piece)
		}
	}()
	if err := pass(p.Stdout, fromProgram, w.ToNetwork, w.Piece); err != nil {
		return prog.Exit(prog.StatusTemporary)
	}
	return nil
}

// pass moves what r has to w, piece by piece, until its end, which trouble with
// reading is too. An error is one of writing.
func pass(w io.Writer, r io.Reader, stage Stage, longest int) error {
	piece := make([]byte, longest)
	for {
		n, _ := r.Read(piece)
		if n == 0 {
			stage(nil)
			return nil
		}
		if _, err := w.Write(stage(piece[:n])); err != nil {
			return err
		}
	}
}
