// Package preline feeds a program the message with the lines on top that an mbox
// would have there. See spec "Injection", section 9.
//
// The message is a stranger's; it is copied and not looked at. The lines come from
// qmail-local, which made each of them one line.
package preline

import (
	"errors"

	"quail/internal/errno"
	"quail/internal/forward"
	"quail/internal/prog"
)

// Run is preline.
func Run(p *prog.Process) error {
	head, command, err := parse(p)
	if err != nil {
		return err
	}
	err = forward.Feed(p, head, command)
	if failed := new(forward.StartError); errors.As(err, &failed) && !errno.Temporary(failed.Err) {
		return prog.Perm(err)
	}
	return err
}

// parse returns the lines to be put on top, and the program with its arguments.
func parse(p *prog.Process) (head string, command []string, err error) {
	usage := prog.Usage("preline cmd [ arg ... ]")
	// The variables must be set even where an option leaves them out.
	ufline, ok1 := p.Env.Lookup("UFLINE")
	rpline, ok2 := p.Env.Lookup("RPLINE")
	dtline, ok3 := p.Env.Lookup("DTLINE")
	if !ok1 || !ok2 || !ok3 {
		return "", nil, usage
	}
	from, returnPath, deliveredTo := ufline, rpline, dtline
	g := p.Getopt("frdFRD")
	for g.Next() {
		switch g.Opt {
		case 'f':
			from = ""
		case 'r':
			returnPath = ""
		case 'd':
			deliveredTo = ""
		case 'F':
			from = ufline
		case 'R':
			returnPath = rpline
		case 'D':
			deliveredTo = dtline
		default:
			return "", nil, usage
		}
	}
	if len(g.Rest) == 0 {
		return "", nil, usage
	}
	return from + returnPath + deliveredTo, g.Rest, nil
}
