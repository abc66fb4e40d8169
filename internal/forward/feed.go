package forward

import (
	"errors"
	"os"

	"quail/internal/errno"
	"quail/internal/proc"
	"quail/internal/prog"
)

// StartError says that a command could not be started.
type StartError struct {
	Command string
	Err     error
}

func (e *StartError) Error() string { return "unable to run " + e.Command + ": " + errno.Text(e.Err) }
func (e *StartError) Unwrap() error { return e.Err }

// Feed runs command with head and then what is left of p.Stdin as its input, and
// returns an error with its exit status: most of what preline and predate are.
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
	unread := Copy(w, head, p.Stdin)
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
