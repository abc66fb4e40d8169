package qmtp

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quail/internal/cdb"
	"quail/internal/cdbfile"
	"quail/internal/conf"
	"quail/internal/prog"
)

// scene is a conversation from testdata/qmtp, which says in what form.
type scene struct {
	title    string
	env      prog.Env
	control  map[string]string
	queue    int
	in, out  string
	queued   bool // and then message and envelope are
	message  string
	envelope string
	status   int
}

// peer is the connection of a scene that does not say otherwise.
var peer = prog.Env{"PATH=/usr/bin:/bin", "TCPREMOTEIP=192.0.2.9", "TCPREMOTEHOST=peer.example",
	"TCPLOCALIP=192.0.2.1", "TCPLOCALHOST=mx.example"}

// scenes reads a file of conversations.
func scenes(t testing.TB, name string) (all []*scene) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../testdata/qmtp", name))
	if err != nil {
		t.Fatal(err)
	}
	var s *scene
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		word, rest, _ := strings.Cut(line, " ")
		first, quoted, _ := strings.Cut(rest, " ")
		switch word {
		case "", "#":
		case "scene":
			s = &scene{title: rest, env: peer, control: map[string]string{}}
			all = append(all, s)
		case "env":
			s.env = s.env.Without(first)
			if quoted != "" {
				s.env = s.env.With(first, unquote(t, quoted))
			}
		case "control":
			s.control[first] = unquote(t, quoted)
		case "queue":
			s.queue, err = strconv.Atoi(rest)
		case "in":
			s.in = unquote(t, rest)
		case "out":
			s.out = unquote(t, rest)
		case "message":
			s.message = unquote(t, rest)
		case "envelope":
			s.envelope, s.queued = unquote(t, rest), true
		case "status":
			s.status, err = strconv.Atoi(rest)
		default:
			t.Fatalf("%s: what is %q?", name, line)
		}
		if err != nil {
			t.Fatalf("%s: %s: %v", name, line, err)
		}
	}
	return all
}

func unquote(t testing.TB, s string) string {
	t.Helper()
	text, err := strconv.Unquote(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return text
}

// setUp makes a home with the control files and the program in qmail-queue's place.
func (s *scene) setUp(t testing.TB) {
	t.Helper()
	conf.Home = t.TempDir()
	files := map[string]string{
		"bin/qmail-queue": fmt.Sprintf("#!/bin/sh\ncat >message; cat <&1 >envelope; exit %d\n", s.queue),
		"control/me":      "mx.example\n",
	}
	for name, contents := range s.control {
		files["control/"+name] = contents
	}
	for name, contents := range files {
		path := filepath.Join(conf.Home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(contents), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if more := s.control["morercpthosts"]; more != "" {
		compile(t, filepath.Join(conf.Home, "control/morercpthosts"), more)
	}
}

// compile makes a cdb of domains.
func compile(t testing.TB, path, domains string) {
	t.Helper()
	draft, err := cdbfile.Create(path + ".tmp")
	if err != nil {
		t.Fatal(err)
	}
	for _, domain := range strings.Fields(domains) {
		if err := draft.Add(cdb.Record{Key: domain}); err != nil {
			t.Fatal(err)
		}
	}
	if err := draft.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := draft.Publish(path + ".cdb"); err != nil {
		t.Fatal(err)
	}
}

// dial starts a server with a client at the other end of a socket. Status sends how it
// ended.
func dial(t testing.TB, run func(*prog.Process) error, env prog.Env) (client *net.UnixConn, status <-chan int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	server, end := os.NewFile(uintptr(fds[0]), "server"), os.NewFile(uintptr(fds[1]), "client")
	defer end.Close()
	conn, err := net.FileConn(end)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	complaints, err := os.Create(filepath.Join(t.TempDir(), "complaints"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { complaints.Close() })
	done := make(chan int, 1)
	go func() {
		p := &prog.Process{
			Name: "server", Env: env, Stdin: server, Stdout: server, Stderr: complaints, UID: os.Getuid(),
			Now: func() time.Time { return time.Date(2026, 1, 5, 4, 46, 54, 0, time.UTC) },
		}
		result := p.Do(run)
		server.Close()
		done <- result
	}()
	return conn.(*net.UnixConn), done
}

// converse has a client say all of in, piece bytes at a time, and listen until the server
// ends.
func converse(t testing.TB, run func(*prog.Process) error, env prog.Env, in string, piece int) (out string, status int) {
	t.Helper()
	client, ended := dial(t, run, env)
	go func() {
		for len(in) > 0 {
			n := min(piece, len(in))
			if _, err := io.WriteString(client, in[:n]); err != nil {
				break
			}
			in = in[n:]
		}
		client.CloseWrite()
	}()
	b, _ := io.ReadAll(client) // who leaves without reading all has the connection reset
	return string(b), <-ended
}

var (
	okAnswer = regexp.MustCompile(`(\d+):(Kok 1767588414 qp \d+),`)
	date     = regexp.MustCompile(`; 5 Jan 2026 04:46:54 -0000\n`)
)

// mask replaces answers with numbers in them, if their length is right.
func mask(out string) string {
	return okAnswer.ReplaceAllStringFunc(out, func(s string) string {
		if m := okAnswer.FindStringSubmatch(s); m[1] == strconv.Itoa(len(m[2])) {
			return "<ok>"
		}
		return s
	})
}

// taken returns what the program in qmail-queue's place got, if the envelope was complete.
func taken() (message, envelope string, queued bool) {
	e, _ := os.ReadFile(filepath.Join(conf.Home, "envelope"))
	m, _ := os.ReadFile(filepath.Join(conf.Home, "message"))
	loc := date.FindIndex(m)
	if loc != nil {
		m = []byte(string(m[:loc[0]]) + "; DATE\n" + string(m[loc[1]:]))
	}
	envelope = string(e)
	return string(m), envelope, strings.HasSuffix(envelope, "\x00\x00") || envelope == "F\x00\x00"
}

// play holds a scene's conversation and compares.
func (s *scene) play(t *testing.T, run func(*prog.Process) error, piece int) {
	t.Helper()
	s.setUp(t)
	out, status := converse(t, run, s.env, s.in, piece)
	if out = mask(out); out != s.out {
		t.Errorf("%s: said %q, not %q", s.title, out, s.out)
	}
	if status != s.status {
		t.Errorf("%s: exited with %d, not %d", s.title, status, s.status)
	}
	message, envelope, queued := taken()
	switch {
	case queued != s.queued:
		t.Errorf("%s: queued is %v, not %v", s.title, queued, s.queued)
	case queued && (message != s.message || envelope != s.envelope):
		t.Errorf("%s: queued %q with %q, not %q with %q", s.title, message, envelope, s.message, s.envelope)
	}
}
