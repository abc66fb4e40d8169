// Package preline feeds a program the message with the lines on top that an mbox
// would have there. See spec "Injection", section 9.
//
// The message is a stranger's; it is copied and not looked at. The lines come from
// qmail-local, which made each of them one line.
package preline

import (
	"errors"
	"io"
	"os"

	"quail/internal/errno"
	"quail/internal/proc"
	"quail/internal/prog"
)

// Run is preline.
func Run(p *prog.Process) error {
	head, command, err := parse(p)
	if err != nil {
		return err
	}
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
		failed := prog.Fail("unable to run "+command[0], err)
		if !errno.Temporary(err) {
			failed = prog.Perm(failed)
		}
		return failed
	}
	unread := feed(w, head, p.Stdin)
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

// feed writes head and the message, and returns an error from reading only.
//
// A program need not read all of its input, and its exit status says by itself what
// it made of the message; so a pipe that it has closed ends the copying and is no
// failure.
//
// Differs from qmail, where a closed pipe is one if the message is larger than the
// system's pipe buffer, so that large messages are deferred over and over.
func feed(w io.Writer, head string, message io.Reader) error {
	if _, err := io.WriteString(w, head); err != nil {
		return nil
	}
	buf := make([]byte, 1<<16)
	for {
		n, rerr := message.Read(buf)
		if _, err := w.Write(buf[:n]); err != nil || rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			return rerr
		}
	}
}
