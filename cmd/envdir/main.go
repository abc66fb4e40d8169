// Command envdir runs a program with the environment that a directory holds.
//
//	envdir DIR PROGRAM [ ARG ... ]
//
// For each file in DIR whose name does not begin with a dot a variable of that name is
// set to the first line of the file, without blanks and tabs at its end and with each
// zero byte as a line feed. For a file without a byte the variable is removed. Then it
// becomes PROGRAM, which is looked for along the PATH of before.
//
// Differs from qmail: a link to nothing removes its variable. daemontools gives that what
// the file before it has.
//
// # Exit status
//
// That of PROGRAM; 111 if something in DIR cannot be read, PROGRAM cannot be run, or usage
// is wrong.
//
// # Security
//
// Runs as the caller. Who can write to DIR decides about the environment of PROGRAM.
package main

import (
	"fmt"
	"os"
	"strings"

	"quail/internal/prog"
)

func main() { prog.Main("envdir", run) }

func run(p *prog.Process) error {
	if len(p.Args) < 2 {
		fmt.Fprintf(p.Stderr, "%s: usage: envdir dir program [ arg ... ]\n", p.Name)
		return prog.Exit(prog.StatusTemporary)
	}
	dir := p.Args[0]
	files, err := os.ReadDir(p.Path(dir))
	if err != nil {
		return prog.Fail("unable to switch to directory "+dir, err)
	}
	env := p.Env
	for _, file := range files {
		if strings.HasPrefix(file.Name(), ".") {
			continue
		}
		text, err := read(p.Path(dir) + "/" + file.Name())
		if err != nil {
			return prog.Fail("unable to read "+dir+"/"+file.Name(), err)
		}
		env = change(env, file.Name(), text)
	}
	return &prog.Become{Args: p.Args[1:], Env: env, Search: p.Env}
}
