// Command envdir runs a program with the environment that a directory holds.
//
//	envdir DIR PROGRAM [ ARG ... ]
//
// For each file in DIR whose name does not begin with a dot a variable of that name is
// set to the first line of the file, without blanks and tabs at its end and with each
// zero byte as a line feed. For a file without a byte, or a link to nothing, it is removed. Then envdir
// becomes PROGRAM, which is looked for along the PATH of before.
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
	"quail/internal/envdir"
	"quail/internal/prog"
)

func main() { prog.Main("envdir", envdir.Run) }
