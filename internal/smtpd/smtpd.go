// Package smtpd is the SMTP server: one client's session, from the greeting to
// QUIT, with each message handed to qmail-queue. See spec "Receiving mail",
// sections 1 to 5 and 12.
//
// Every byte the client sends may be chosen to do harm. It can make this session
// use a bounded amount of memory (maxLine and maxRecipients say how much) and it
// can have messages queued whose recipients policy.go allows; nothing else. No
// file is written here and no name of a file comes from the client.
//
// Commands are in commands.go, the message text in data.go, addresses in
// address.go and what the administrator allows in policy.go.
package smtpd

import (
	"bytes"
	"errors"
	"os"
	"time"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

// Replies that end the session, which then exits with status 1. A client that
// hangs up, or takes no replies, ends it with status 1 and without a word.
const (
	replyControls = "421 unable to read controls (#4.3.0)"
	replyMemory   = "421 out of memory (#4.3.0)"
	replyMyIP     = "421 unable to figure out my IP addresses (#4.3.0)"
	replyTimeout  = "451 timeout (#4.4.2)"
	replyBareLF   = "451 See https://cr.yp.to/docs/smtplf.html."
)

// Differs from qmail: the memory of a session is bounded here and not by the
// limits of the process, so that one client cannot starve the others.
const (
	maxLine       = 32 << 10 // of a command; one that is longer is answered as qmail does when out of memory
	maxRecipients = 4 << 20  // bytes of all recipients of a message, each with its NUL; further ones get 452
)

// session is one client being served.
type session struct {
	p        *prog.Process
	peer     ucspi.Connection
	greeting string // who we say we are
	limit    int64  // stored bytes of a message; 0 is no limit
	policy   policy

	conn   *ucspi.Conn
	unread []byte // what the client has sent, in buffer
	buffer []byte
	out    []byte // replies not sent yet

	helo       string // the last HELO or EHLO name
	greeted    bool   // there was one
	mail       bool   // there was a MAIL
	sender     string
	badSender  bool   // which each RCPT will hear of
	recipients []byte // each ended by a NUL
}

// Run serves the client on descriptors 0 and 1. The status is 0 after QUIT and 1
// however else the session ends.
func Run(p *prog.Process) error {
	s := &session{p: p, peer: ucspi.FromEnv(p.Env)}
	timeout, err := s.configure(control.In(conf.Home))
	s.conn = ucspi.NewConn(p, timeout)
	if err != nil {
		return s.die(replyControls)
	}
	s.reply("220 " + s.greeting + " ESMTP")
	if err := s.flush(); err != nil {
		return err
	}
	for {
		line, err := s.line()
		if err != nil {
			return err
		}
		if err := s.command(line); err != nil {
			return err
		}
	}
}

// configure reads the control files, and returns the limit of one wait for the
// client. After an error that is the default.
func (s *session) configure(dir control.Dir) (time.Duration, error) {
	const defaultTimeout = 1200
	seconds, err := dir.Int("timeoutsmtpd", defaultTimeout)
	if err != nil {
		return defaultTimeout * time.Second, err
	}
	timeout := time.Duration(min(max(1, seconds), 1<<31)) * time.Second
	var set bool
	if s.greeting, set, err = lineOrMe(dir, "smtpgreeting"); err != nil {
		return timeout, err
	}
	if !set {
		return timeout, errors.New("neither smtpgreeting nor me is there")
	}
	limit, err := dir.Int("databytes", 0)
	if err != nil {
		return timeout, err
	}
	if text, set := s.p.Env.Lookup("DATABYTES"); set {
		limit = control.Number(text)
	}
	s.limit = int64(limit)
	s.policy, err = loadPolicy(dir, s.p.Env)
	return timeout, err
}

// lineOrMe returns the first line of a control file, or that of me.
func lineOrMe(dir control.Dir, name string) (value string, set bool, err error) {
	value, set, err = dir.Line(name)
	if set || err != nil {
		return value, set, err
	}
	return dir.Line("me")
}

// line reads a command line and returns it without its end: LF, or CR LF. A NUL
// ends the text of the line. Looking for more of it sends the replies, since a
// client may wait for them.
func (s *session) line() (string, error) {
	searched := 0
	for {
		if lf := bytes.IndexByte(s.unread[searched:], '\n'); lf >= 0 {
			line := s.unread[:searched+lf]
			s.unread = s.unread[searched+lf+1:]
			line, _, _ = bytes.Cut(bytes.TrimSuffix(line, []byte("\r")), []byte{0})
			return string(line), nil
		}
		searched = len(s.unread)
		if searched >= maxLine {
			return "", s.die(replyMemory)
		}
		s.makeRoom()
		n, err := s.read(s.buffer[searched:])
		if err != nil {
			return "", err
		}
		s.unread = s.buffer[:searched+n]
	}
}

// makeRoom moves what is unread to the beginning of buffer and sees to it that
// more fits behind.
func (s *session) makeRoom() {
	if len(s.unread) < len(s.buffer) {
		copy(s.buffer, s.unread)
		return
	}
	s.keep(s.unread, max(2048, 2*len(s.buffer)))
}

// keep makes unread a copy of b, in a buffer of at least size bytes.
func (s *session) keep(b []byte, size int) {
	if size = max(len(b), size); len(s.buffer) < size {
		s.buffer = make([]byte, size)
	}
	s.unread = s.buffer[:copy(s.buffer, b)]
}

// read sends the replies and reads what the client says to them.
func (s *session) read(b []byte) (int, error) {
	if err := s.flush(); err != nil {
		return 0, err
	}
	n, err := s.conn.Read(b)
	switch {
	case n > 0:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, s.die(replyTimeout)
	}
	return 0, prog.Exit(1)
}

// reply adds a line to what the client will be told.
func (s *session) reply(line string) { s.out = append(append(s.out, line...), "\r\n"...) }

// flush sends the replies.
func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	if err != nil {
		return prog.Exit(1)
	}
	return nil
}

// die ends the session with a last reply.
func (s *session) die(reply string) error {
	s.reply(reply)
	s.flush()
	return prog.Exit(1)
}
