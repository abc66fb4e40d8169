// Command relay-ctrl-age removes what relay-ctrl-allow has written long ago.
//
//	relay-ctrl-age
//
// It removes every file in the directory RELAY_CTRL_DIR that is older than
// RELAY_CTRL_EXPIRY seconds (900). relay-ctrl-check does not believe those anyway: this is
// for those that nobody asks for again. It is run now and then, as root.
//
// # Exit status
//
// 0, also if a file could not be removed; 1 if RELAY_CTRL_DIR is not set or is no
// directory that can be read.
//
// # Security
//
// Runs as root in a directory where any user may have put anything. Names are looked up
// in the open directory and never followed; what is a directory is left.
package main

import (
	"quail/internal/grant"
	"quail/internal/prog"
)

func main() { prog.Main("relay-ctrl-age", grant.Age) }
