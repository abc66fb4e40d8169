// Package keysd is qmail-keysd, which holds the private keys of this host and signs with
// them for whoever calls at HOME/auth/keys. Package keywire owns the bytes.
//
// It is given the listening socket as descriptor 0 and, through descriptor 3, what
// qmail-keys has read, once before anything and then whenever that changes; it ends when
// qmail-keys does. It reads no file and makes no connection.
//
// The enemy is who calls: a server that talks to strangers and may have been taken over
// by one. He can have signed what a TLS server signs, for as long as he can call, and
// nothing else; he learns no key, and keeps nobody else from being answered: each
// connection waits for its own signature before it may ask for the next, and all wait in
// one line.
package keysd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/keywire"
	"quail/internal/localsocket"
	"quail/internal/privs"
	"quail/internal/prog"
	"quail/internal/sandbox"
)

const (
	idleTime   = time.Minute      // how long a connection may be kept for later
	answerTime = 10 * time.Second // how long a caller may take to take an answer
	breath     = 100 * time.Millisecond
	ownFiles   = 32 // descriptors that are no caller's
	mostCalls  = 4096
)

// server answers.
type server struct {
	p     *prog.Process
	ring  *ring
	turns chan struct{} // held by whoever signs
	most  int           // connections at once

	mu   sync.Mutex
	open int
	idle map[*os.File]time.Time // since when nothing is asked there
}

// Run is the program qmail-keysd.
func Run(p *prog.Process) error {
	if len(p.Args) > 0 || len(p.Extra) == 0 || p.Extra[0] == nil {
		return prog.Usage("qmail-keysd is run by qmail-keys")
	}
	// Before there is a secret here.
	if err := privs.Undumpable(); err != nil {
		return err
	}
	listener, err := localsocket.Inherited(p.Stdin)
	if err != nil {
		return prog.Fail("unable to use descriptor 0", err)
	}
	if err := sandbox.Around(sandbox.Wall{Network: sandbox.Callers})(p); err != nil {
		return err
	}
	sv := newServer(p)
	sets := bufio.NewReader(p.Extra[0])
	if err := sv.take(sets); err != nil {
		return ended(err)
	}
	over := make(chan error, 2)
	go func() { over <- sv.follow(sets) }()
	go func() { over <- sv.accept(listener) }()
	return ended(<-over)
}

// ended is the end of qmail-keys, which is ours.
func ended(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func newServer(p *prog.Process) *server {
	most := mostCalls
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		most = int(min(mostCalls, max(files.Cur, ownFiles+1)-ownFiles))
	}
	return &server{p: p, ring: newRing(), turns: make(chan struct{}, runtime.GOMAXPROCS(0)), most: most,
		idle: map[*os.File]time.Time{}}
}

// follow takes sets of certificates for as long as there are any, and says once a day
// which have expired.
func (sv *server) follow(r *bufio.Reader) error {
	daily := time.NewTicker(24 * time.Hour)
	defer daily.Stop()
	go func() {
		for range daily.C {
			sv.say(sv.ring.expired(sv.p.Now()))
		}
	}()
	for {
		if err := sv.take(r); err != nil {
			return err
		}
	}
}

// take takes one set.
func (sv *server) take(r *bufio.Reader) error {
	entries, err := keywire.ReadEntries(r)
	if err == io.EOF {
		return err
	}
	if err != nil {
		return prog.Fail("unable to read from qmail-keys", err)
	}
	sv.say(sv.ring.load(entries, sv.p.Now()))
	return nil
}

// say writes lines to the log.
func (sv *server) say(lines []string) {
	for _, line := range lines {
		fmt.Fprintf(sv.p.Stderr, "qmail-keysd: %s\n", line)
	}
}

// accept serves every caller in a goroutine.
func (sv *server) accept(listener *os.File) error {
	for {
		c, err := localsocket.Accept(listener)
		switch {
		case err == nil:
			if sv.begin() {
				go sv.serve(c.File)
			} else {
				c.Close()
			}
		case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM):
			sv.hangUp()
			time.Sleep(breath)
		default:
			return prog.Fail("unable to accept", err)
		}
	}
}

// begin counts a connection. If there are too many, one that is kept for later goes; if
// there is none of those the caller does.
func (sv *server) begin() bool {
	sv.mu.Lock()
	full := sv.open >= sv.most
	sv.mu.Unlock()
	if full && !sv.hangUp() {
		return false
	}
	sv.mu.Lock()
	sv.open++
	sv.mu.Unlock()
	return true
}

// hangUp ends the connection that has been kept for longest, and reports whether there
// was one.
func (sv *server) hangUp() bool {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	var oldest *os.File
	for c, since := range sv.idle {
		if oldest == nil || since.Before(sv.idle[oldest]) {
			oldest = c
		}
	}
	if oldest == nil {
		return false
	}
	delete(sv.idle, oldest)
	oldest.SetDeadline(sv.p.Now().Add(-time.Second))
	return true
}

// serve answers what is asked on a connection.
func (sv *server) serve(c *os.File) {
	defer func() {
		c.Close()
		sv.mu.Lock()
		delete(sv.idle, c)
		sv.open--
		sv.mu.Unlock()
	}()
	r := bufio.NewReaderSize(c, keywire.MaxRequest+4)
	for {
		now := sv.p.Now()
		sv.mu.Lock()
		sv.idle[c] = now
		c.SetDeadline(now.Add(idleTime))
		sv.mu.Unlock()
		q, err := keywire.ReadRequest(r)
		sv.mu.Lock()
		delete(sv.idle, c)
		sv.mu.Unlock()
		if err != nil {
			return
		}
		answer := sv.answer(q)
		c.SetDeadline(sv.p.Now().Add(answerTime))
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// answer returns the bytes of an answer. What goes wrong in one is that one's.
func (sv *server) answer(q keywire.Request) (b []byte) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(sv.p.Stderr, "qmail-keysd: warning: internal error: %v\n", r)
			b = keywire.Answer{Kind: keywire.Refused, Text: "internal error"}.Append(nil)
		}
	}()
	if q.Kind == keywire.List {
		return sv.ring.list(q.ID)
	}
	sv.turns <- struct{}{}
	defer func() { <-sv.turns }()
	signature, err := sv.ring.sign(q, sv.p.Now())
	if err != nil {
		return keywire.Answer{Kind: keywire.Refused, Text: err.Error()}.Append(nil)
	}
	return keywire.Answer{Kind: keywire.Signed, Signature: signature}.Append(nil)
}
