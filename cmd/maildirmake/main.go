// Command maildirmake creates a Maildir.
//
//	maildirmake NAME
//
// NAME, and in it tmp, new and cur, must not exist; the directory that is to hold
// it must. Only the caller may use what is created.
//
// # Exit status
//
// 0 if all four directories were created, 100 for a wrong command line, else 111.
//
// # Security
//
// Runs as the caller, on names that the caller chose.
package main

import (
	"os"

	"quail/internal/prog"
)

func main() { prog.Main("maildirmake", run, prog.Umask(0o077)) }

func run(p *prog.Process) error {
	if len(p.Args) == 0 {
		return prog.Usage("maildirmake name")
	}
	for _, sub := range []string{"", "/tmp", "/new", "/cur"} {
		name := p.Args[0] + sub
		if err := os.Mkdir(p.Path(name), 0o700); err != nil {
			return prog.Fail("unable to mkdir "+name, err)
		}
	}
	return nil
}
