// Package inject is qmail-inject: it completes the message that a user or a
// user's program wrote and puts it into the queue. See spec "Local injection",
// sections 1 to 7.
//
// It runs as the caller, with nothing that the caller does not have. The header
// may all the same be a stranger's, passed on by a form on the web, so what was
// an address there never becomes more than one record of the envelope.
package inject

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"quail/internal/mailaddr"
	"quail/internal/prog"
	"quail/internal/rfc822"
	"quail/internal/submit"
)

// errRead is the whole of what is said about input that cannot be read.
var errRead = errors.New("read error")

// source says where recipients come from.
type source struct{ arguments, header bool }

// options are the command line.
type options struct {
	from   source
	print  bool // do not queue
	sender value
}

// Run is the program qmail-inject.
func Run(p *prog.Process) error {
	o, err := readOptions(p)
	if err != nil {
		return err
	}
	s, err := readSettings(p)
	if err != nil {
		return err
	}
	if o.sender, err = s.givenSender(o.sender); err != nil {
		return err
	}
	recipients, err := s.arguments(o, p.Args)
	if err != nil {
		return err
	}
	message := rfc822.NewScanner(p.Stdin)
	h, err := readHeader(message, s, o.from)
	if err != nil {
		return err
	}
	sender, err := s.sender(o, h)
	if err != nil {
		return err
	}
	generated, err := s.generate(h)
	if err != nil {
		return err
	}
	recipients = append(recipients, h.recipients[h.resent]...)
	parts := append(generated, h.kept...)
	if o.print {
		return show(p, sender, parts, message.Body())
	}
	return queue(p, sender, recipients, parts, message.Body())
}

// readOptions reads the command line and leaves the operands in p.Args.
func readOptions(p *prog.Process) (options, error) {
	var o options
	g := p.Getopt("aAhHnNf:")
	automatic := true
	for g.Next() {
		switch g.Opt {
		case 'a':
			o.from, automatic = source{arguments: true}, false
		case 'h':
			o.from, automatic = source{header: true}, false
		case 'H':
			o.from, automatic = source{true, true}, false
		case 'A':
			automatic = true
		case 'n':
			o.print = true
		case 'N':
			o.print = false
		case 'f':
			o.sender = value{g.Arg, true}
		default:
			return o, prog.Exit(prog.StatusPermanent)
		}
	}
	p.Args = g.Rest
	if automatic {
		o.from = source{arguments: len(p.Args) > 0, header: len(p.Args) == 0}
	}
	return o, nil
}

// arguments returns the recipients that the command line names.
func (s *settings) arguments(o options, arguments []string) ([]string, error) {
	if !o.from.arguments {
		return nil, nil
	}
	var out []string
	for _, arg := range arguments {
		a, err := s.envelopeAddress(arg)
		if err != nil {
			return nil, prog.Perm(fmt.Errorf("unable to parse address: %s", arg))
		}
		out = append(out, a)
	}
	return out, nil
}

// show prints the message as it would be queued.
func show(p *prog.Process, sender string, parts []string, body io.Reader) error {
	w := bufio.NewWriter(p.Stdout)
	fmt.Fprintf(w, "Return-Path: <%s>\n", mailaddr.Quote(sender))
	if err := copyMessage(w, parts, body); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return prog.Fail("unable to write message", err)
	}
	return nil
}

// queue hands the message over. Nothing is started before the header is known to
// be good, so a bad one leaves no trace.
func queue(p *prog.Process, sender string, recipients, parts []string, body io.Reader) error {
	m, err := submit.Open(p)
	if err != nil {
		return errors.New("unable to run qmail-queue")
	}
	if err := copyMessage(m, parts, body); err != nil {
		m.Fail()
		m.From("")
		m.Close()
		return err
	}
	m.From(sender)
	for _, r := range recipients {
		m.To(r)
	}
	switch result := m.Close(); {
	case result.OK():
		return nil
	case result.Permanent():
		return prog.Perm(errors.New(result.Text()))
	default:
		return errors.New(result.Text())
	}
}

// copyMessage writes header and body. Its writers remember their own errors, so
// what it returns is about reading.
func copyMessage(w io.Writer, parts []string, body io.Reader) error {
	for _, part := range parts {
		io.WriteString(w, part)
	}
	in := &input{r: body}
	io.Copy(w, in)
	if in.failed {
		return errRead
	}
	return nil
}

// input notes whether reading failed: io.Copy does not say which side did.
type input struct {
	r      io.Reader
	failed bool
}

func (in *input) Read(b []byte) (int, error) {
	n, err := in.r.Read(b)
	in.failed = err != nil && err != io.EOF
	return n, err
}
