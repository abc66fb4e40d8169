// Package softlimit is the program that sets limits: spec "Network and supervision tools",
// C2.
//
// Differs from qmail: limits on address space and data are handed on through programs of
// the suite, which need more to start, to others: see package limits.
package softlimit

import (
	"strconv"
	"strings"

	"quail/internal/limits"
	"quail/internal/prog"
)

const usage = "softlimit [ -acdflmoprst limit ] program [ arg ... ]"

// Run is the program softlimit.
func Run(p *prog.Process) error {
	g := p.Getopt("a:c:d:f:l:m:o:p:r:s:t:")
	for g.Next() {
		limit, ok := number(g.Arg)
		if !ok || g.Opt == '?' {
			return prog.Usage(usage)
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
		return prog.Usage(usage)
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
