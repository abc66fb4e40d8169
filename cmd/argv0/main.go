// Command argv0 runs a program under another name.
//
//	argv0 PROGRAM NAME [ ARG ... ]
//
// PROGRAM, which is found along PATH, is run with NAME as argument 0, where its own name
// usually stands. "argv0 /bin/sh -sh" is a login shell.
//
// # Exit status
//
// That of PROGRAM. 100 for a usage error, 111 if PROGRAM cannot be run.
//
// # Security
//
// Runs as the caller, on the caller's arguments.
package main

import "quail/internal/prog"

func main() { prog.Main("argv0", run) }

func run(p *prog.Process) error {
	if len(p.Args) < 2 {
		return prog.Usage("argv0 realname program [ arg ... ]")
	}
	return &prog.Become{Program: p.Args[0], Args: p.Args[1:], Env: p.Env}
}
