// Command softlimit runs a program under limits.
//
//	softlimit [ -acdflmoprst LIMIT ] ... PROGRAM [ ARG ... ]
//
// It sets soft limits, in the order of the options, and becomes PROGRAM. A LIMIT is a
// number, or = for the hard limit, which stands for all that is more too.
//
//	-a  bytes of address space          -o  numbers of descriptors
//	-c  bytes of a core file            -p  processes and threads of the user
//	-d  bytes of data                   -r  bytes in memory
//	-f  bytes of a file                 -s  bytes of the stack
//	-l  bytes locked in memory          -t  seconds of processor time
//	-m  as -a, -d, -l and -s
//
// An option for what the system has no limit on does nothing.
//
// Limits on address space and data go through programs of the suite, which need more to
// start, to all others.
//
// # Exit status
//
// That of PROGRAM; 100 for wrong usage; 111 if a limit cannot be set or PROGRAM cannot be
// run.
//
// # Security
//
// Runs as the caller, on the caller's arguments. Hard limits are left alone.
package main

import (
	"quail/internal/prog"
	"quail/internal/softlimit"
)

func main() { prog.Main("softlimit", softlimit.Run) }
