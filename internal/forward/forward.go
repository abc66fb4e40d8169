// Package forward hands the message on standard input on, to other addresses or to a
// program, for the programs that a .qmail file calls. See spec "Injection", section 9.
//
// The message is a stranger's and is copied as it is, under a line that stops it
// if it ever comes back.
package forward

import (
	"errors"
	"fmt"
	"io"

	"quail/internal/prog"
	"quail/internal/submit"
)

// Variable returns a variable that qmail-local sets. Without it the program was not
// started from a .qmail file, and trying again is useless.
//
// Differs from qmail: this goes for dot-forward and fastforward as well. They would
// forward without a Delivered-To line, which is what ends loops.
func Variable(p *prog.Process, name string) (string, error) {
	value, ok := p.Env.Lookup(name)
	if !ok {
		return "", prog.Perm(errors.New(name + " not set"))
	}
	return value, nil
}

// Send queues the message, see Queue, and says on p.Stderr under which number.
func Send(p *prog.Process, dtline, sender string, recipients []string) error {
	qp, err := Queue(p, dtline, sender, recipients)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.Stderr, "%s: qp %d\n", p.Name, qp)
	return nil
}

// Queue queues dtline and what is left of p.Stdin, from sender to all recipients, and
// returns the number under which that was done.
func Queue(p *prog.Process, dtline, sender string, recipients []string) (qp int, err error) {
	m, err := submit.Open(p)
	if err != nil {
		return 0, prog.Fail("unable to fork", err)
	}
	m.WriteString(dtline)
	if _, err := io.Copy(m, p.Stdin); err != nil {
		m.Fail()
		m.From(sender)
		m.Close()
		return 0, prog.Fail("unable to read message", err)
	}
	m.From(sender)
	for _, r := range recipients {
		m.To(r)
	}
	result := m.Close()
	switch {
	case result.OK():
		return m.QP, nil
	case result.Permanent():
		return 0, prog.Perm(errors.New(result.Text()))
	default:
		return 0, errors.New(result.Text())
	}
}
