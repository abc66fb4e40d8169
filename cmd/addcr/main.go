// Command addcr puts a CR before every LF.
//
//	addcr
//
// It reads descriptor 0 to its end and writes descriptor 1 at once after each read.
// A last line without LF is left alone.
//
// # Exit status
//
// 0, or 111 if it cannot read or write.
//
// # Security
//
// None of its own: bytes come and go.
package main

import (
	"quail/internal/crlf"
	"quail/internal/prog"
)

func main() { prog.Main("addcr", run) }

func run(p *prog.Process) error {
	if crlf.Copy(p.Stdout, p.Stdin, crlf.Add) != nil {
		return prog.Exit(prog.StatusTemporary)
	}
	return nil
}
