// Command printmaillist prints a compiled mailing list.
//
//	printmaillist < LIST.bin
//
// What it prints, setmaillist compiles to the same list.
//
// # Exit status
//
// 0; 100 if the input is no such list; 111 if it cannot be read or the output not be
// written.
//
// # Security
//
// Runs as the caller, who has opened the list.
package main

import (
	"bufio"
	"io"

	"quail/internal/maillist"
	"quail/internal/prog"
)

func main() { prog.Main("printmaillist", run) }

func run(p *prog.Process) error {
	list, err := io.ReadAll(p.Stdin)
	if err != nil {
		return prog.Fail("unable to read input", err)
	}
	entries, broken := maillist.Parse(list)
	out := bufio.NewWriter(p.Stdout)
	for _, e := range entries {
		line, err := e.Text()
		if err != nil {
			broken = err
			break
		}
		out.WriteString(line + "\n")
	}
	if err := out.Flush(); err != nil {
		return prog.Fail("unable to write output", err)
	}
	if broken != nil {
		return prog.Perm(broken)
	}
	return nil
}
