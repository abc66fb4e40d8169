// Package qmtp is the servers of the two protocols that are made of netstrings: QMTP, by
// which hosts send mail to each other, and QMQP, by which hosts without a queue use that
// of another. See spec "Receiving mail", sections 6 and 7.
//
// Every byte that the client sends may be chosen to do harm. A QMTP client can have
// messages queued whose recipients the administrator allows; a QMQP client any message,
// so that who may be one is for the rules of tcpserver to say. No message is held in
// memory, of addresses one at a time; of a message's recipients, what to answer about
// each.
//
// What is not complete, to the last comma, is never queued and never answered.
//
// Differs from qmail: a message with more than maxRecipients recipients is refused as
// qmail would without memory for it.
package qmtp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/envelope"
	"quail/internal/netstring"
	"quail/internal/prog"
	"quail/internal/received"
	"quail/internal/sandbox"
	"quail/internal/submit"
	"quail/internal/ucspi"
)

const (
	// patience is how long a connection may last, whatever happens in it.
	patience = time.Hour
	// maxRecipients bounds what is remembered of a message: a byte for each.
	maxRecipients = 1 << 20
	// maxAddress is the longest sender or recipient, in bytes.
	maxAddress = 999
)

// errResources ends a session for want of something that is ours.
var errResources = errors.New("too many recipients")

// Wall is the wall around a server whose messages qmail-queued takes: it can read the
// control files and make that call. Where a program must be run for each message, which
// may be set-uid, there can be none.
func Wall(p *prog.Process) error {
	if !(*submit.Client)(nil).Ready(p) {
		return nil
	}
	dir := string(control.In(conf.Home))
	w := sandbox.Wall{Read: []string{dir}, Network: sandbox.Syslog}
	for _, name := range []string{"rcpthosts", "morercpthosts.cdb", "databytes"} {
		if path, err := filepath.EvalSymlinks(filepath.Join(dir, name)); err == nil {
			w.Read = append(w.Read, path)
		}
	}
	return sandbox.Around(w)(p)
}

// session is one client being served.
type session struct {
	p        *prog.Process
	protocol string
	conn     *ucspi.Conn
	in       *bufio.Reader
	out      *bufio.Writer
	queue    submit.Client
}

// newSession takes the connection.
func newSession(p *prog.Process, protocol string) (*session, error) {
	conn, err := ucspi.NewConn(p, patience)
	if err != nil {
		return nil, fmt.Errorf("connection: %w", err)
	}
	conn.Limit(patience)
	s := &session{p: p, protocol: protocol, conn: conn, out: bufio.NewWriter(conn)}
	s.in = bufio.NewReaderSize(flushing{s}, 32<<10)
	return s, nil
}

// flushing reads from the client and sends it the answers first, since it may wait for
// them.
type flushing struct{ s *session }

func (f flushing) Read(b []byte) (int, error) {
	if err := f.s.flush(); err != nil {
		return 0, err
	}
	n, err := f.s.conn.Read(b)
	return n, hungUp(err)
}

// flush sends the answers.
func (s *session) flush() error { return hungUp(s.out.Flush()) }

// hungUp makes an end of all trouble with the connection, but for the end of patience.
func hungUp(err error) error {
	if err == nil || err == io.EOF || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return io.ErrUnexpectedEOF
}

// end turns what a session ended with into the exit status: 0 whatever the client did,
// but for bytes that are no package (100), and for those that we cannot take or wait for
// (111).
func end(err error) error {
	switch {
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return nil
	case errors.Is(err, netstring.ErrFormat):
		return prog.Exit(prog.StatusPermanent)
	case errors.Is(err, netstring.ErrTooLong), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errResources):
		return prog.Exit(prog.StatusTemporary)
	}
	return err
}

// open begins a message with its Received line.
func (s *session) open() (*submit.Message, error) {
	m, err := s.queue.Open(s.p)
	if err != nil {
		return nil, err
	}
	m.WriteString(received.Network(ucspi.FromEnv(s.p.Env).Session(s.protocol), s.p.Now()))
	return m, nil
}

// abandon gives up a message of which not all has come.
func abandon(m *submit.Message) {
	m.Fail()
	m.Close()
}

// answer says what became of a message.
func (s *session) answer(m *submit.Message, result envelope.Result) string {
	if result.OK() {
		return fmt.Sprintf("Kok %d qp %d", s.p.Now().Unix(), m.QP)
	}
	return string(result)
}

// say answers with one netstring.
func (s *session) say(text string) { s.out.WriteString(netstring.Format(text)) }
