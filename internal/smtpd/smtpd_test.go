package smtpd

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/prog"
)

type files map[string]string

// absent is the contents of a control file that is not there.
const absent = "\x00"

// controls is what every session finds in HOME/control but for its own files.
var controls = files{"me": "mx.example\n", "rcpthosts": "here.example\n.sub.example\nMiXed.Example\n"}

// peer is the connection of a session that does not say otherwise.
var peer = prog.Env{"PATH=/usr/bin:/bin", "TCPREMOTEIP=192.0.2.9", "TCPREMOTEHOST=peer.example",
	"TCPLOCALIP=192.0.2.1", "TCPLOCALHOST=mx.example"}

type sessionTest struct {
	name    string
	control files
	env     prog.Env
	noPeer  bool // nothing is known of the connection
	queue   int  // how qmail-queue exits

	in, out           string
	message, envelope string // what was queued; "" if nothing was
	status            int
}

// home sets up a qmail home whose qmail-queue keeps its input in HOME/message and
// HOME/envelope.
func home(t testing.TB, special files, queueStatus int) {
	t.Helper()
	conf.Home = t.TempDir()
	all := files{"bin/qmail-queue": fmt.Sprintf("#!/bin/sh\ncat >message; cat <&1 >envelope; exit %d\n", queueStatus)}
	for name, contents := range controls {
		all["control/"+name] = contents
	}
	for name, contents := range special {
		all["control/"+name] = contents
	}
	for name, contents := range all {
		path := filepath.Join(conf.Home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if contents == absent {
			continue
		}
		if err := os.WriteFile(path, []byte(contents), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// process returns a server for the client on in and out.
func process(in, out *os.File, env prog.Env) *prog.Process {
	return &prog.Process{
		Name: "qmail-smtpd", Env: env, Stdin: in, Stdout: out, Stderr: os.Stderr,
		Now: func() time.Time { return time.Date(2026, 1, 5, 4, 46, 54, 0, time.UTC) },
	}
}

// converse runs a session with a client that says all of in, piece bytes at a
// time, and then hangs up. It returns what the client was told.
func converse(t testing.TB, env prog.Env, in string, piece int) (out string, status int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	replies, err := os.Create(filepath.Join(conf.Home, "replies"))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for len(in) > 0 {
			n := min(piece, len(in))
			if _, err := io.WriteString(w, in[:n]); err != nil {
				break
			}
			in = in[n:]
		}
		w.Close()
	}()
	status = process(r, replies, env).Do(Run)
	r.Close()
	replies.Close()
	b, err := os.ReadFile(replies.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b), status
}

// queuedFiles returns what reached the queue and forgets it.
func queuedFiles() (message, envelope string) {
	m, _ := os.ReadFile(filepath.Join(conf.Home, "message"))
	e, _ := os.ReadFile(filepath.Join(conf.Home, "envelope"))
	os.Remove(filepath.Join(conf.Home, "message"))
	os.Remove(filepath.Join(conf.Home, "envelope"))
	if !bytes.HasSuffix(e, []byte{0, 0}) {
		return "", "" // qmail-queue would throw it away
	}
	return string(m), string(e)
}

var queuedReply = regexp.MustCompile(`(?m)^250 ok 1767588414 qp [1-9]\d*\r$`)

func TestSessions(t *testing.T) {
	for _, c := range sessions {
		home(t, c.control, c.queue)
		env := prog.Env{}
		if !c.noPeer {
			env = peer
		}
		for _, v := range c.env {
			name, value, _ := strings.Cut(v, "=")
			env = env.With(name, value)
		}
		for _, piece := range []int{len(c.in) + 1, 1} {
			out, status := converse(t, env, c.in, piece)
			message, envelope := queuedFiles()
			out = queuedReply.ReplaceAllString(out, "250 ok TIME qp PID\r")
			message = strings.ReplaceAll(message, "5 Jan 2026 04:46:54 -0000", "DATE")
			if out != c.out || status != c.status {
				t.Errorf("%s, in pieces of %d: said\n%q, status %d, want\n%q, status %d", c.name, piece, out, status, c.out, c.status)
			}
			if message != c.message || envelope != c.envelope {
				t.Errorf("%s, in pieces of %d: queued\n%q, %q, want\n%q, %q", c.name, piece, message, envelope, c.message, c.envelope)
			}
		}
	}
}
