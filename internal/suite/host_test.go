package suite

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// A host is another mail system, as qmail-remote meets it: an SMTP server that
// takes every message, but for the steps where its script says something else.
type host struct {
	t        testing.TB
	listener net.Listener
	script   script
	// forgetful: what is taken is not kept.
	forgetful bool

	mu       sync.Mutex
	mail     []received
	sessions int
}

// script says what to answer at a step: greeting, EHLO, HELO, MAIL, RCPT, DATA, dot,
// RSET or QUIT. Every answer stands for itself, without its final CRLF, but these.
type script map[string]string

const (
	hangUp  = "(hang up)"
	silence = "(say nothing)"
	slowly  = "(slowly) " // before an answer: in pieces, with waits in between
)

// received is a message that the host took.
type received struct {
	from string
	to   []string
	text string // with CRLF as LF, without the dots of SMTP
}

// answers are those of a host without a script.
var answers = script{
	"greeting": "220 far.example ESMTP",
	"EHLO":     "250-far.example\r\n250 8BITMIME",
	"HELO":     "250 far.example",
	"MAIL":     "250 sender ok",
	"RCPT":     "250 recipient ok",
	"DATA":     "354 go ahead",
	"dot":      "250 taken",
	"RSET":     "250 forgotten",
	"QUIT":     "221 bye",
}

// serve starts a host on a free port of the loopback address.
func serve(t testing.TB, script script) *host {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, script)
}

// serveOn starts a host on a listener.
func serveOn(t testing.TB, l net.Listener, script script) *host {
	h := &host{t: t, listener: l, script: script}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go h.session(conn)
		}
	}()
	t.Cleanup(func() { l.Close() })
	return h
}

// route is the value of control/smtproutes that leads to the host.
func (h *host) route() string {
	return fmt.Sprintf("127.0.0.1:%d", h.listener.Addr().(*net.TCPAddr).Port)
}

// taken returns the messages that have come so far.
func (h *host) taken() []received {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]received(nil), h.mail...)
}

// recipients counts those of the messages that have come so far: a message to several
// may come as one.
func (h *host) recipients() (n int) {
	for _, m := range h.taken() {
		n += len(m.to)
	}
	return n
}

// met returns how many clients have come so far.
func (h *host) met() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions
}

// answer returns what the script has for a step.
func (h *host) answer(step string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if answer, scripted := h.script[step]; scripted {
		return answer
	}
	return answers[step]
}

// recover makes the host take everything from now on.
func (h *host) recover() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.script = nil
}

// good reports whether an answer lets the dialogue go on.
func good(answer string) bool {
	answer = strings.TrimPrefix(answer, slowly)
	return strings.HasPrefix(answer, "2") || strings.HasPrefix(answer, "3")
}

// send sends an answer, and reports whether the session goes on.
func send(conn net.Conn, answer string) bool {
	switch answer {
	case hangUp:
		return false
	case silence:
		conn.Read(make([]byte, 1)) // until the client gives up
		return false
	}
	pieces := []string{answer + "\r\n"}
	if rest, ok := strings.CutPrefix(answer, slowly); ok {
		pieces = strings.SplitAfter(rest+"\r\n", " ")
	}
	for i, piece := range pieces {
		if i > 0 {
			time.Sleep(300 * time.Millisecond) // it is what is tested: each wait is short, all of them are not
		}
		if _, err := conn.Write([]byte(piece)); err != nil {
			return false
		}
	}
	return true
}

func (h *host) session(conn net.Conn) {
	defer conn.Close()
	h.mu.Lock()
	h.sessions++
	h.mu.Unlock()
	if !send(conn, h.answer("greeting")) {
		return
	}
	in := bufio.NewReader(conn)
	var m received
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, argument, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		answer := h.answer(verb)
		if answer == "" {
			answer = "502 what is " + verb
		}
		switch {
		case !send(conn, answer) || verb == "QUIT":
			return
		case !good(answer):
		case verb == "RSET":
			m = received{}
		case verb == "MAIL":
			m = received{from: strings.TrimPrefix(argument, "FROM:")}
		case verb == "RCPT":
			m.to = append(m.to, strings.TrimPrefix(argument, "TO:"))
		case verb == "DATA":
			if !h.data(conn, in, m) {
				return
			}
		}
	}
}

// data takes the text of a message, and reports whether the session goes on.
func (h *host) data(conn net.Conn, in *bufio.Reader, m received) bool {
	var err error
	if m.text, err = text(in); err != nil {
		return false
	}
	answer := h.answer("dot")
	if good(answer) && !h.forgetful { // recorded before the client can know of it
		h.mu.Lock()
		h.mail = append(h.mail, m)
		h.mu.Unlock()
	}
	return send(conn, answer)
}

// text reads a message up to its final dot.
func text(in *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" {
			return b.String(), nil
		}
		b.WriteString(strings.TrimSuffix(strings.TrimPrefix(line, "."), "\r\n") + "\n")
	}
}
