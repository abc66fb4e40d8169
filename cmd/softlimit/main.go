// Command softlimit runs a program under limits.
//
//	softlimit [ -LETTER LIMIT ] ... PROGRAM [ ARG ... ]
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
// Differs from qmail: limits on address space and data are handed on through programs of
// the suite, which need more to start, to others: see package limits.
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
	"strconv"
	"strings"

	"quail/internal/limits"
	"quail/internal/prog"
)

func main() { prog.Main("softlimit", run) }

const letters = "acdflmoprst"

func run(p *prog.Process) error {
	g := p.Getopt(strings.Join(strings.Split(letters, ""), ":") + ":")
	usage := prog.Usage("softlimit [ -" + strings.Join(strings.Split(letters, ""), " limit ] [ -") + " limit ] program [ arg ... ]")
	for g.Next() {
		limit, ok := number(g.Arg)
		if !ok || g.Opt == '?' {
			return usage
		}
		option := string(g.Opt)
		if option == "m" {
			option = "dsla"
		}
		for i := range len(option) {
			resource, known := resources[option[i]]
			if !known {
				continue
			}
			if err := limits.Soft(resource, limit); err != nil {
				return prog.Fail("unable to set limit -"+option[i:i+1], err)
			}
		}
	}
	if len(g.Rest) == 0 {
		return usage
	}
	return &prog.Become{Args: g.Rest, Env: p.Env}
}

// number reads a limit; no digit at all is 0, as ever.
func number(arg string) (n uint64, ok bool) {
	if arg == "=" {
		return limits.Hard, true
	}
	if strings.Trim(arg, "0123456789") != "" {
		return 0, false
	}
	n, _ = strconv.ParseUint(arg, 10, 64) // the largest there is, if out of range
	return n, true
}
