// Command printforward prints a database of forwarding instructions.
//
//	printforward < DATA.cdb
//
// What it prints, setforward compiles to the same instructions.
//
// # Exit status
//
// 0; 100 if the input is no such database; 111 if it cannot be read or the output not
// be written.
//
// # Security
//
// Runs as the caller, who has opened the database.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"quail/internal/cdb"
	"quail/internal/forwarding"
	"quail/internal/prog"
)

func main() { prog.Main("printforward", run) }

func run(p *prog.Process) error {
	// Input may be a pipe, and a database is read at positions.
	data, err := io.ReadAll(p.Stdin)
	if err != nil {
		return prog.Fail("unable to read input", err)
	}
	out := bufio.NewWriter(p.Stdout)
	for record, err := range cdb.NewReader(bytes.NewReader(data), int64(len(data))).All() {
		var text string
		if err == nil {
			text, err = forwarding.Print(record)
		}
		if err != nil {
			return errors.Join(out.Flush(), prog.Perm(forwarding.ErrFormat))
		}
		out.WriteString(text)
	}
	if err := out.Flush(); err != nil {
		return prog.Fail("unable to write output", err)
	}
	return nil
}
