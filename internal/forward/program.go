package forward

import (
	"errors"
	"io"
	"os"

	"quail/internal/dotqmail"
	"quail/internal/proc"
	"quail/internal/prog"
)

// Program feeds head and the message to a shell command, and goes back to the beginning
// of the message for whoever reads it next. Without a head the command gets the
// descriptor itself. It sees the variables that p sees.
//
// The error is what the command said by its exit status, as in a .qmail file. There is
// no skipping of what follows, so 99 is a failure like any other.
func Program(p *prog.Process, head, command string) error {
	status, err := run(p, head, command)
	switch {
	case err != nil:
		return err
	case status.Crashed():
		return errors.New("child crashed in " + command)
	}
	// The program has said itself what there is to say about a failure.
	switch dotqmail.Judge(status.Code()) {
	case dotqmail.Continue:
	case dotqmail.Permanent:
		return prog.Exit(prog.StatusPermanent)
	default:
		return prog.Exit(prog.StatusTemporary)
	}
	if _, err := p.Stdin.Seek(0, io.SeekStart); err != nil {
		return prog.Fail("unable to rewind input", err)
	}
	return nil
}

func run(p *prog.Process, head, command string) (proc.Status, error) {
	c := proc.Command{
		Args:   []string{"/bin/sh", "-c", command},
		Env:    p.Env.ForUsers(),
		Dir:    p.Dir,
		Stdin:  p.Stdin,
		Stdout: p.Stdout,
		Stderr: p.Stderr,
	}
	var r, w *os.File
	if head != "" {
		var err error
		if r, w, err = os.Pipe(); err != nil {
			return proc.Status{}, prog.Fail("unable to create pipe", err)
		}
		defer w.Close()
		c.Stdin = r
	}
	child, err := c.Start()
	if r != nil {
		r.Close()
	}
	if err != nil {
		return proc.Status{}, prog.Fail("unable to run /bin/sh", err)
	}
	var unread error
	if w != nil {
		unread = Copy(w, head, p.Stdin)
		w.Close()
	}
	status, err := child.Wait()
	switch {
	case unread != nil:
		return status, prog.Fail("unable to read message", unread)
	case err != nil:
		return status, prog.Fail("unable to wait for /bin/sh", err)
	}
	return status, nil
}

// Copy writes head and a message to a program, and returns an error from reading only.
//
// A program need not read all of its input, and its exit status says by itself what
// it made of the message; so a pipe that it has closed ends the copying and is no
// failure.
//
// Differs from qmail, where preline takes a closed pipe for one if the message is
// larger than the system's pipe buffer, so that large messages are deferred over and
// over.
func Copy(w io.Writer, head string, message io.Reader) error {
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
