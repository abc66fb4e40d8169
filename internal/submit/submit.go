// Package submit is how every program of the suite puts a message into the queue:
// it runs qmail-queue, or the program that $QMAILQUEUE names, and hands it a
// message and an envelope. See spec "The queue", section 8.
//
// The program at the other end may be anybody's (a virus scanner, a rewriter). It
// is told nothing but the message, and only its exit status is believed.
package submit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"quail/internal/conf"
	"quail/internal/envelope"
	"quail/internal/proc"
	"quail/internal/prog"
)

// Message is a message on its way into the queue. First its text is written, then
// From is called once and To for each recipient, then Close. Nothing is queued
// unless Close says so; Fail on the way makes sure of that.
//
// Errors are remembered, not returned: Close reports what became of the message.
type Message struct {
	// QP is the number that replies and logs show for the message: the process
	// id of the program that queues it.
	QP int

	child    *proc.Child
	outcome  envelope.Result // what Close says if nothing could be run
	text     *os.File        // to the program's descriptor 0
	envelope *os.File        // to its descriptor 1
	custom   *os.File        // from its descriptor 6
	w        *bufio.Writer   // on text, then on envelope
	failed   bool
}

// Open starts the queueing program with the environment of p. An error means
// that not even the attempt could be made, for lack of processes or descriptors.
func Open(p *prog.Process) (*Message, error) {
	program, ok := p.Env.Lookup("QMAILQUEUE")
	if !ok {
		program = "bin/qmail-queue"
	}
	var ends [6]*os.File
	for i := 0; i < len(ends); i += 2 {
		var err error
		if ends[i], ends[i+1], err = os.Pipe(); err != nil {
			closeAll(ends[:])
			return nil, fmt.Errorf("create pipe to %s: %w", program, err)
		}
	}
	m := &Message{text: ends[1], envelope: ends[3], custom: ends[4], w: bufio.NewWriterSize(ends[1], 16384)}
	err := m.start(p, program, ends[0], ends[2], ends[5])
	closeAll([]*os.File{ends[0], ends[2], ends[5]})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EMFILE) {
		closeAll([]*os.File{m.text, m.envelope, m.custom})
		return nil, fmt.Errorf("run %s: %w", program, err)
	}
	return m, nil
}

// start runs the program by its path, relative to the home: PATH has no say.
func (m *Message) start(p *prog.Process, program string, text, env, custom *os.File) error {
	if fi, err := os.Stat(conf.Home); err != nil || !fi.IsDir() {
		m.outcome = envelope.Explain(envelope.StatusHome, "")
		return nil
	}
	if !strings.Contains(program, "/") {
		program = "./" + program
	}
	child, err := proc.Command{
		Args:   []string{program},
		Env:    p.Env,
		Dir:    conf.Home,
		Stdin:  text,
		Stdout: env,
		Stderr: p.Stderr,
		Extra:  []*os.File{nil, nil, nil, custom},
	}.Start()
	if err != nil {
		m.outcome = envelope.Explain(envelope.StatusUnableToRun, "")
		return err
	}
	m.child, m.QP = child, child.PID
	return nil
}

// Write adds to the message. It always takes everything.
func (m *Message) Write(b []byte) (int, error) {
	if !m.failed && m.child != nil {
		if _, err := m.w.Write(b); err != nil {
			m.failed = true
		}
	}
	return len(b), nil
}

// WriteString adds to the message.
func (m *Message) WriteString(s string) (int, error) {
	return m.Write([]byte(s))
}

// Fail gives the message up: the envelope stays incomplete, so that the program
// queues nothing and cleans up. Close is still to be called.
func (m *Message) Fail() { m.failed = true }

// From ends the message and begins the envelope with its sender.
func (m *Message) From(sender string) {
	m.flush()
	m.text.Close()
	m.w.Reset(m.envelope)
	m.record('F', sender)
}

// To adds a recipient to the envelope.
func (m *Message) To(recipient string) { m.record('T', recipient) }

// record writes one record. An address with a NUL would become two and gives the
// whole message up.
func (m *Message) record(kind byte, address string) {
	if !envelope.Clean(address) {
		m.failed = true
	}
	m.WriteString(envelope.Record{Type: kind, Text: address}.String())
}

func (m *Message) flush() {
	if m.child != nil && m.w.Flush() != nil {
		m.failed = true
	}
}

// Close ends the envelope, waits for the program and returns what it made of the
// message. It must be called exactly once, also after Fail.
func (m *Message) Close() envelope.Result {
	m.WriteString("\x00")
	if !m.failed {
		m.flush()
	}
	m.text.Close()
	m.envelope.Close()
	custom := m.readCustom()
	m.custom.Close()
	if m.child == nil {
		return m.outcome
	}
	status, err := m.child.Wait()
	switch {
	case err != nil:
		return envelope.TextWait
	case status.Crashed():
		return envelope.TextCrashed
	case status.OK() && m.failed:
		return envelope.TextRead
	}
	return envelope.Explain(status.Code(), custom)
}

// readCustom reads descriptor 6 to its end and keeps what may be shown of it.
func (m *Message) readCustom() string {
	text, _ := io.ReadAll(io.LimitReader(m.custom, envelope.MaxCustom))
	io.Copy(io.Discard, m.custom)
	s, _, _ := strings.Cut(string(text), "\x00")
	return s
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
