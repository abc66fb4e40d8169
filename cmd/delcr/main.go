// Command delcr removes a CR at the end of each line.
//
//	delcr
//
// It reads descriptor 0 to its end and writes descriptor 1 at once after each read.
// Only one is removed where there are several, and none from a last line without LF.
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

func main() { prog.Main("delcr", run) }

func run(p *prog.Process) error {
	if crlf.Copy(p.Stdout, p.Stdin, crlf.Remove) != nil {
		return prog.Exit(prog.StatusTemporary)
	}
	return nil
}
