// Package submit is how every program of the suite puts a message into the queue. It
// hands it to qmail-queued if that listens at the queue's socket (package submission),
// else it runs qmail-queue; or the program that $QMAILQUEUE names, which always wins.
// See spec "The queue", section 8.
//
// The program at the other end may be anybody's (a virus scanner, a rewriter). It
// is told nothing but the message, and only its exit status is believed.
package submit

import (
	"io"
	"os"
	"sync"

	"quail/internal/conf"
	"quail/internal/envelope"
	"quail/internal/localsocket"
	"quail/internal/nowait"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/submission"
)

// Message is a message on its way into the queue. First its text is written, then
// From is called once and To for each recipient, then Close. Nothing is queued
// unless Close says so; Fail on the way makes sure of that.
//
// Errors are remembered, not returned: Close reports what became of the message.
type Message struct {
	// QP is the number that replies and logs show for the message, once Close has
	// said that it is queued: that of the job or process that queued it.
	QP int

	p       *prog.Process
	client  *Client
	frames  *submission.Writer
	buffer  *[bufferSize]byte // of frames
	call    *os.File          // to qmail-queued, or
	program *partner          // to a program, or neither, and
	outcome envelope.Result   // is what Close says
	sent    bool              // something has been sent
	broken  bool              // nobody listens any more
	failed  bool
}

// bufferSize is how much is gathered before anybody is bothered with it. What fits is
// sent by one system call; and until then no program runs and no job is begun, however
// slowly the message comes.
const bufferSize = 16384

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Open begins a message of a program that has no other. See Client.Open.
func Open(p *prog.Process) (*Message, error) { return (*Client)(nil).Open(p) }

// Client is what the jobs of a warm process have in common: connections to qmail-queued
// that wait for their next message. The zero Client has none. A nil one keeps none.
type Client struct {
	mu   sync.Mutex
	idle []*os.File
}

// keep is how many connections wait at most.
const keep = 64

// Open begins a message. An error means that not even the attempt can be made, for
// lack of processes or descriptors. In a warm process, where many messages may be under
// way that come slowly, nothing is done before there is something to send.
func (c *Client) Open(p *prog.Process) (m *Message, err error) {
	m = &Message{p: p, client: c, buffer: buffers.Get().(*[bufferSize]byte)}
	m.frames = submission.NewWriter(transport{m}, m.buffer[:])
	switch {
	case !mayCall(p):
		err = m.run()
	case !p.Warm:
		err = m.connect()
	}
	return m, err
}

// Ready reports whether a message of p could be submitted now without running any
// program. One that is walled and warm should decline its job if it could not.
func (c *Client) Ready(p *prog.Process) bool {
	if !mayCall(p) {
		return false
	}
	call := c.take()
	if call != nil && !localsocket.Quiet(call) {
		call.Close()
		call = nil
	}
	var err error
	if call == nil {
		call, err = dial(p)
	}
	if err == nil {
		c.put(call)
	}
	return err == nil
}

// take returns a connection that waits, or nil.
func (c *Client) take() *os.File {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.idle) - 1
	if n < 0 {
		return nil
	}
	call := c.idle[n]
	c.idle = c.idle[:n]
	return call
}

// put has a connection wait, if there is somebody to wait for and room.
func (c *Client) put(call *os.File) {
	if c == nil {
		call.Close()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) >= keep {
		call.Close()
		return
	}
	c.idle = append(c.idle, call)
}

// drop closes all that wait: one of them turned out to be no good.
func (c *Client) drop() {
	for call := c.take(); call != nil; call = c.take() {
		call.Close()
	}
}

// mayCall reports whether a message of p may go to qmail-queued, which knows its
// callers by the effective uid and takes that for the real one.
func mayCall(p *prog.Process) bool {
	_, other := p.Env.Lookup("QMAILQUEUE")
	return !other && os.Geteuid() == p.UID
}

func dial(p *prog.Process) (*os.File, error) {
	return localsocket.Dial(conf.Home+"/"+submission.Path, p.Warm)
}

// connect finds somebody to take the message.
func (m *Message) connect() (err error) {
	if m.call = m.client.take(); m.call != nil {
		return nil
	}
	if m.call, err = dial(m.p); err == nil {
		return nil
	}
	m.call = nil
	return m.run()
}

// run starts the queueing program, unless a wall forbids it.
func (m *Message) run() error {
	if m.p.Walled {
		m.outcome = envelope.Explain(prog.StatusTemporary, "")
		return nil
	}
	var err error
	m.program, m.outcome, err = start(m.p)
	return err
}

// transport is where frames go.
type transport struct{ m *Message }

// Write passes frames on to whoever takes the message. Who has hung up before anything
// was sent, as qmail-queued does where it is started anew, is looked for again.
func (t transport) Write(b []byte) (n int, err error) {
	m := t.m
	first := !m.sent
	m.sent = true
	if first && m.call == nil {
		m.find()
	}
	n, err = m.pass(b)
	if m.call != nil && err != nil && n == 0 && first {
		m.call.Close()
		m.client.drop()
		m.find()
		n, err = m.pass(b)
	}
	return n, err
}

// find is connect when it is too late to say that not even the attempt can be made.
func (m *Message) find() {
	if m.program == nil && m.outcome == "" && m.connect() != nil {
		m.outcome = envelope.Explain(envelope.StatusUnableToRun, "")
	}
}

// pass sends frames to whoever has been found.
func (m *Message) pass(frames []byte) (n int, err error) {
	switch {
	case m.call != nil:
		return m.stream().Write(frames)
	case m.program != nil:
		return m.program.Write(frames)
	}
	return len(frames), nil
}

// stream is the call. A program with nothing else to do blocks.
func (m *Message) stream() io.ReadWriter {
	if m.p.Warm {
		if s, err := nowait.NewStream(m.call); err == nil {
			return s
		}
	}
	return m.call
}

// Write adds to the message. It always takes everything.
func (m *Message) Write(b []byte) (int, error) {
	if !m.failed && !m.broken {
		_, err := m.frames.Write(b)
		m.broken = err != nil
	}
	return len(b), nil
}

// WriteString adds to the message.
func (m *Message) WriteString(s string) (int, error) { return m.Write([]byte(s)) }

// Fail gives the message up: the envelope stays incomplete, so that nothing is queued
// and what there is gets cleaned up. Close is still to be called.
func (m *Message) Fail() { m.failed = true }

// From ends the message and begins the envelope with its sender.
func (m *Message) From(sender string) {
	m.frames.Envelope()
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

// Close ends the envelope, waits for the answer and returns what was made of the
// message. It must be called exactly once, also after Fail.
func (m *Message) Close() envelope.Result {
	defer m.release()
	m.WriteString("\x00")
	if !m.failed && !m.broken {
		m.broken = m.frames.Flush() != nil
	}
	incomplete := m.failed || m.broken
	var result envelope.Result
	switch {
	case m.program != nil:
		m.QP = m.program.child.PID
		result = m.program.finish()
	case m.call != nil && m.failed:
		m.call.Close()
	case m.call != nil:
		result = m.answer()
	default:
		result = m.outcome
	}
	if result.OK() && incomplete {
		return envelope.TextRead
	}
	return result
}

// release gives the buffer back.
func (m *Message) release() {
	buffers.Put(m.buffer)
	m.frames, m.buffer = nil, nil
}

// answer waits for what qmail-queued says. It may have said so before it had all, and
// hung up.
func (m *Message) answer() envelope.Result {
	var b [submission.AnswerSize]byte
	if _, err := io.ReadFull(m.stream(), b[:]); err == nil {
		if a, err := submission.ParseAnswer(b[:]); err == nil {
			if a.Status == 0 {
				m.client.put(m.call)
			} else {
				m.call.Close()
			}
			m.QP = a.Number
			return explain(proc.StatusOf(a.Status), "")
		}
	}
	m.call.Close()
	return envelope.TextCrashed
}

// explain says what a status means, of whoever it is.
func explain(status proc.Status, custom string) envelope.Result {
	if status.Crashed() {
		return envelope.TextCrashed
	}
	return envelope.Explain(status.Code(), custom)
}
