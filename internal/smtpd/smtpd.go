// Package smtpd is the SMTP server: one client's session, from the greeting to
// QUIT, with each message handed to qmail-queue. See spec "Receiving mail",
// sections 1 to 5 and 12.
//
// Every byte the client sends may be chosen to do harm. It can make this session
// use a bounded amount of memory (maxLine and maxRecipients say how much) and it
// can have messages queued whose recipients policy.go allows; nothing else. No
// file is written here and no name of a file comes from the client.
//
// A process may serve one session or thousands, see package warm. What those share is
// in server.go, and crowd.go keeps each from the others' part of it.
//
// Commands are in commands.go, AUTH in auth.go, STARTTLS in secure.go, the message text
// in data.go, addresses in address.go and what the administrator allows in policy.go and
// logins.go. Nothing here reads a secret or a private key: qmail-auth and qmail-keys do,
// which are asked by way of authclient and servertls.
package smtpd

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"time"

	"quail/internal/prog"
	"quail/internal/servertls"
	"quail/internal/ucspi"
	"quail/internal/warm"
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

// session is one client being served. There are thousands of them in one process,
// which wait most of the time: it is small then.
type session struct {
	p      *prog.Process
	sv     *server
	policy policy

	conn   channel
	clear  *ucspi.Conn     // conn, or what is below it
	tls    *servertls.Conn // conn, if it is that
	desk   *desk           // where the rest of these are; nil while there is nothing in them
	buffer []byte          // the desk's, or a larger one
	unread []byte          // what the client has sent, in buffer
	out    []byte          // replies not sent yet

	helo       string // the last HELO or EHLO name
	greeted    bool   // there was one
	mail       bool   // there was a MAIL
	badSender  bool   // which each RCPT will hear of
	sender     string
	recipients []byte // each ended by a NUL
	messages   int    // begun so far

	offered byte   // what the answer to the last EHLO has offered
	login   *login // who the client has proven to be; nil before that
	tries   int    // to prove it, in vain
	secret  bool   // there may be some of a password on the desk
	notes   int    // lines in the log

	claimed int  // bytes of memory
	talk    int  // commands since the last message
	late    bool // the client has taken too much of its time
	patient bool // which cannot be waited for but by a goroutine
}

// channel is a connection, with or without TLS.
type channel interface {
	ReadTo(ucspi.Memory) (int, error)
	ReadSoon(ucspi.Memory) (n int, rest time.Duration, err error)
	Write([]byte) (int, error)
	Close()
}

// desk is the memory that a session needs while there is something to do.
type desk struct {
	in  [4096]byte
	out [1024]byte
}

// Sessions that wait for a command share these: there can be many of those.
var desks = sync.Pool{New: func() any { return new(desk) }}

// begin greets the client and serves it.
func (s *session) begin() error {
	if s.policy.secure {
		if err := s.secure(); err != nil {
			return err
		}
	}
	s.reply("220 ", s.policy.greeting, " ESMTP")
	if err := s.flush(); err != nil {
		return err
	}
	return s.serve()
}

// serve takes commands until the session ends, or until the client takes its time.
func (s *session) serve() error {
	for {
		line, err := s.line(s.readCommand)
		if err != nil {
			return err
		}
		if err := s.command(line); err != nil {
			return err
		}
	}
}

// step is a part of the session: begin, or serve after a pause. The session is closed
// after the last one, also if that panics.
func (s *session) step(part func() error) (err error) {
	over := true
	defer func() {
		if over {
			s.release()
			s.conn.Close()
		}
	}()
	err = part()
	var pause *warm.Pause
	over = !errors.As(err, &pause)
	return err
}

// pause lets a client that takes its time be waited for without a goroutine.
func (s *session) pause(rest time.Duration) error {
	return &warm.Pause{
		Wait: func(resume func()) {
			if !s.wait(rest, func(late bool) {
				s.late = late
				resume()
			}) {
				s.patient = true
				go resume()
			}
		},
		Then: func(*prog.Process) error { return s.step(s.resume) },
	}
}

// wait is that of ucspi.Lounge.
func (s *session) wait(rest time.Duration, call func(late bool)) bool {
	if s.tls != nil {
		return s.tls.Wait(&s.sv.lounge, rest, call)
	}
	return s.sv.lounge.Wait(s.clear, rest, call)
}

// resume goes on after a pause.
func (s *session) resume() error {
	if s.late {
		return s.die(replyTimeout)
	}
	return s.serve()
}

// sit takes a desk.
func (s *session) sit() {
	if s.desk == nil {
		s.desk = desks.Get().(*desk)
		s.buffer, s.out = s.desk.in[:], s.desk.out[:0]
	}
}

// leave gives the desk back if nothing is left on it.
func (s *session) leave() {
	if s.desk == nil || len(s.unread)+len(s.out) > 0 {
		return
	}
	if len(s.buffer) > len(s.desk.in) {
		s.unclaim(len(s.buffer))
	}
	if s.secret {
		clear(s.desk.in[:])
		s.secret = false
	}
	desks.Put(s.desk)
	s.desk, s.buffer, s.unread, s.out = nil, nil, nil, nil
}

// release gives back all that the session has.
func (s *session) release() {
	s.unread, s.out = nil, nil
	s.leave()
	s.unclaim(s.claimed)
}

// line reads a command line and returns it without its end: LF, or CR LF. A NUL
// ends the text of the line. Looking for more of it sends the replies, since a
// client may wait for them. The line is in the buffer up to the next one. read is
// readCommand or, where there must be no pause, readMore.
func (s *session) line(read func(begun bool) (int, error)) ([]byte, error) {
	searched := 0
	for {
		if lf := bytes.IndexByte(s.unread[searched:], '\n'); lf >= 0 {
			line := s.unread[:searched+lf]
			s.unread = s.unread[searched+lf+1:]
			line, _, _ = bytes.Cut(bytes.TrimSuffix(line, []byte("\r")), []byte{0})
			return line, nil
		}
		searched = len(s.unread)
		if searched >= maxLine || searched > 0 && !s.makeRoom() {
			return nil, s.die(replyMemory)
		}
		n, err := read(searched > 0)
		if err != nil {
			return nil, err
		}
		s.unread = s.buffer[:searched+n]
	}
}

// makeRoom moves what is unread to the beginning of buffer and sees to it that
// more fits behind, if there is memory for that.
func (s *session) makeRoom() bool {
	if len(s.unread) == len(s.buffer) {
		return s.keep(s.unread, min(maxLine, 2*len(s.buffer)))
	}
	s.unread = s.buffer[:copy(s.buffer, s.unread)]
	return true
}

// keep makes unread a copy of b, in a buffer of at least size bytes.
func (s *session) keep(b []byte, size int) bool {
	s.sit()
	if size = max(len(b), size); len(s.buffer) < size {
		if len(s.buffer) > len(s.desk.in) {
			s.unclaim(len(s.buffer))
		}
		old := s.buffer
		s.buffer = make([]byte, size)
		if !s.claim(size) {
			return false
		}
		s.unread = s.buffer[:copy(s.buffer, b)]
		clear(old) // it may have been a password
		return true
	}
	s.unread = s.buffer[:copy(s.buffer, b)]
	return true
}

// commandMemory is the memory that commands are read to: that behind what is unread.
type commandMemory session

// Borrow takes a desk if there is none.
func (m *commandMemory) Borrow() []byte {
	s := (*session)(m)
	s.sit()
	return s.buffer[len(s.unread):]
}

// Return gives the desk back if it was taken for this.
func (m *commandMemory) Return() { (*session)(m).leave() }

// readCommand sends the replies and reads a command, or the rest of one. In a process
// that serves many a pause may come before one.
func (s *session) readCommand(begun bool) (int, error) {
	if begun || s.patient || !s.p.Warm {
		return s.readMore(begun)
	}
	if err := s.flush(); err != nil {
		return 0, err
	}
	s.leave()
	n, rest, err := s.conn.ReadSoon((*commandMemory)(s))
	if rest > 0 {
		return 0, s.pause(rest)
	}
	return s.heard(n, err)
}

// readMore is readCommand without a pause.
func (s *session) readMore(bool) (int, error) { return s.read((*commandMemory)(s)) }

// read sends the replies and reads what the client says to them.
func (s *session) read(m ucspi.Memory) (int, error) {
	if err := s.flush(); err != nil {
		return 0, err
	}
	s.leave()
	return s.heard(s.conn.ReadTo(m))
}

// heard turns the outcome of a read into that of the session.
func (s *session) heard(n int, err error) (int, error) {
	switch {
	case n > 0:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, s.die(replyTimeout)
	}
	return 0, prog.Exit(1)
}

// reply adds a line to what the client will be told.
func (s *session) reply(parts ...string) {
	s.sit()
	for _, part := range parts {
		s.out = append(s.out, part...)
	}
	s.out = append(s.out, "\r\n"...)
}

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
