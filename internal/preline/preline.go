// Package preline feeds a program the message with the lines on top that an mbox
// would have there. See spec "Injection", section 9.
//
// The message is a stranger's; it is copied and not looked at. The lines come from
// qmail-local, which made each of them one line.
package preline

import (
	"errors"
	"os"

	"quail/internal/errno"
	"quail/internal/forward"
	"quail/internal/proc"
	"quail/internal/prog"
)

// Run is preline.
func Run(p *prog.Process) error {
	head, command, err := parse(p)
	if err != nil {
		return err
	}
	err = Feed(p, head, command)
	if failed := new(StartError); errors.As(err, &failed) && !errno.Temporary(failed.Err) {
		return prog.Perm(err)
	}
	return err
}

// StartError says that a command could not be started.
type StartError struct {
	Command string
	Err     error
}

func (e *StartError) Error() string { return "unable to run " + e.Command + ": " + errno.Text(e.Err) }
func (e *StartError) Unwrap() error { return e.Err }

// Feed runs command with head and then what is left of p.Stdin as its input, and
// returns an error with its exit status. It is also what predate does.
func Feed(p *prog.Process, head string, command []string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return prog.Fail("unable to create pipe", err)
	}
	child, err := proc.Command{
		Args:   command,
		Env:    p.Env.ForUsers(),
		Dir:    p.Dir,
		Stdin:  r,
		Stdout: p.Stdout,
		Stderr: p.Stderr,
	}.Start()
	r.Close()
	if err != nil {
		w.Close()
		return &StartError{command[0], err}
	}
	unread := forward.Copy(w, head, p.Stdin)
	w.Close()
	status, err := child.Wait()
	switch {
	case unread != nil:
		return prog.Fail("unable to copy input", unread)
	case err != nil:
		return prog.Fail("unable to wait for "+command[0], err)
	case status.Crashed():
		return errors.New("child crashed")
	}
	return prog.Exit(status.Code())
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
