// Command instcheck says what is wrong with the files of an installation.
//
//	instcheck [ queue-only ]
//
// It looks at every file and directory that make install makes, or with queue-only
// at those of the queue, and says of each that is absent, of another type, another
// owner, another group, other permissions or, of the table of timeouts, another size.
// It knows them from the same table that they are made from.
//
// # Exit status
//
// 0 if all is as it should be, 1 if something is not, 111 if that cannot be found
// out, 100 for a wrong call.
//
// # Security
//
// Looks, and changes nothing. Run it as root: others cannot look into all of the
// queue.
package main

import (
	"quail/internal/instcheck"
	"quail/internal/prog"
	"quail/scripts"
)

func main() { prog.Main("instcheck", run) }

func run(p *prog.Process) error { return instcheck.Run(p, scripts.Files) }
