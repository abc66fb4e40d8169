//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// size is how many bytes a message's text has.
const size = 4096

// flood sends n messages over connections at once, by Postfix's smtp-source: one
// connection a message, or as many messages as it takes over each. It returns when the
// last one has been accepted.
func (b *bench) flood(h *host, n int, reuse bool, to string) error {
	args := []string{"smtp-source", "-s", fmt.Sprint(atOnce), "-m", fmt.Sprint(n), "-l", fmt.Sprint(size),
		"-f", "sender@load.example", "-t", to, "-M", "load.example"}
	if reuse {
		args = append(args, "-d")
	}
	out, err := b.load.command(append(args, h.address)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("smtp-source: %w\n%s", err, out)
	}
	return nil
}

// arrivals counts the messages that enter the mailbox, by inotify: looking into the
// directory again and again would be a load of its own.
type arrivals struct {
	file *os.File
	seen int
}

func (h *host) arrivals() (*arrivals, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	a := &arrivals{file: os.NewFile(uintptr(fd), "inotify")}
	_, err = unix.InotifyAddWatch(fd, h.path(inbox+"/new"), unix.IN_CREATE|unix.IN_MOVED_TO)
	return a, err
}

// wait returns when n messages have arrived since a began. What stands still for too
// long is an error.
func (a *arrivals) wait(n int) error {
	b := make([]byte, 256<<10)
	for a.seen < n {
		a.file.SetReadDeadline(time.Now().Add(patience))
		k, err := a.file.Read(b)
		if err != nil {
			return fmt.Errorf("%d of %d messages arrived: %w", a.seen, n, err)
		}
		for rest := b[:k]; len(rest) >= unix.SizeofInotifyEvent; {
			if binary.NativeEndian.Uint32(rest[4:])&unix.IN_Q_OVERFLOW != 0 {
				return errors.New("more arrivals than can be counted")
			}
			a.seen++
			rest = rest[unix.SizeofInotifyEvent+binary.NativeEndian.Uint32(rest[12:]):]
		}
	}
	return nil
}

func (a *arrivals) close() { a.file.Close() }

// sunk waits until the sink has had n recipients.
func (b *bench) sunk(n int64) error {
	last, since := int64(-1), time.Now()
	for {
		now := b.sink.recipients.Load()
		if now >= n {
			return nil
		}
		if now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > patience/2 {
			return fmt.Errorf("the sink still lacks %d recipients", n-now)
		}
		time.Sleep(time.Millisecond)
	}
}

// session is an SMTP session of the bench's own.
type session struct {
	conn net.Conn
	*textproto.Conn
}

// dial opens a session from an address that the caller chooses: one address has too few
// ports for all.
func dial(h *host, from string) (*session, error) {
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.Dial("tcp", h.address)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	s := &session{conn, textproto.NewConn(conn)}
	_, _, err = s.ReadResponse(220)
	if err != nil {
		conn.Close()
	}
	return s, err
}

// say sends lines at once and wants one reply to each.
func (s *session) say(code int, lines ...string) error {
	if _, err := io.WriteString(s.conn, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		return err
	}
	for range lines {
		if _, _, err := s.ReadResponse(code); err != nil {
			return err
		}
	}
	return nil
}

// message is a text of the usual size.
var message = "Subject: bench\r\nFrom: <sender@load.example>\r\n\r\n" + strings.Repeat(strings.Repeat("x", 78)+"\r\n", size/80)

// transaction sends one message to recipients, whose commands go out in bunches where
// the server offers PIPELINING.
func (s *session) transaction(recipients []string) error {
	if _, err := io.WriteString(s.conn, "EHLO load.example\r\n"); err != nil {
		return err
	}
	_, offers, err := s.ReadResponse(250)
	if err != nil {
		return err
	}
	together := 1
	if strings.Contains(offers, "PIPELINING") {
		together = 50
	}
	if err := s.say(250, "MAIL FROM:<sender@load.example>"); err != nil {
		return err
	}
	for len(recipients) > 0 {
		n := min(len(recipients), together)
		lines := make([]string, n)
		for i, r := range recipients[:n] {
			lines[i] = "RCPT TO:<" + r + ">"
		}
		if err := s.say(250, lines...); err != nil {
			return err
		}
		recipients = recipients[n:]
	}
	if err := s.say(354, "DATA"); err != nil {
		return err
	}
	return s.say(250, message+".")
}

// send sends one message over a connection of its own.
func send(h *host, from string, recipients ...string) error {
	s, err := dial(h, from)
	if err != nil {
		return err
	}
	defer s.conn.Close()
	return errors.Join(s.transaction(recipients), s.say(221, "QUIT"))
}

// answers reports whether the SMTP service greets.
func (h *host) answers() bool {
	conn, err := net.DialTimeout("tcp", h.address, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	greeting := make([]byte, 3)
	_, err = io.ReadFull(conn, greeting)
	return err == nil && string(greeting) == "220"
}
