// Command relay-ctrl-chdir opens the directory of relay-ctrl for the programs behind it.
//
//	relay-ctrl-chdir PROGRAM [ ARG ... ]
//
// It opens RELAY_CTRL_DIR, sets RELAY_CTRL_DIR_FD to the number of the descriptor, which
// is the highest that is free and at most 1023, and becomes PROGRAM. Programs that run
// as somebody else later can then use a directory that they could not reach by its name.
//
// # Exit status
//
// That of PROGRAM; 1 for wrong usage; 111 if the directory cannot be opened or PROGRAM
// cannot be run.
//
// # Security
//
// Runs as root before tcpserver. Whatever is run behind it may write in the directory as
// far as the directory's own mode allows it.
package main

import (
	"quail/internal/grant"
	"quail/internal/prog"
)

func main() { prog.Main("relay-ctrl-chdir", grant.Chdir) }
