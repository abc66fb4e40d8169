package smtpd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/warm"
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
	running.end()
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
		Name: "qmail-smtpd", Env: env, Stdin: in, Stdout: out, Stderr: logFile, UID: os.Getuid(), PID: 4711,
		Now: clock,
	}
}

// clock is that of all sessions. It stands still, but where others are asked, who wait.
var clock = standing

func standing() time.Time { return time.Date(2026, 1, 5, 4, 46, 54, 0, time.UTC) }

// manner is how sessions are held: each by a process of its own, or as a job among
// others.
type manner struct {
	name string
	run  func(*prog.Process) error // of a warm process; nil where each has its own
}

var manners = []manner{{name: "cold"}, {name: "warm", run: Program()}}

// hold runs one session to its end, pauses included.
func (m manner) hold(p *prog.Process) (status int) {
	if m.run == nil {
		return p.Do(Program())
	}
	p.Warm = true
	run := m.run
	for {
		err := p.Call(run)
		var pause *warm.Pause
		if !errors.As(err, &pause) {
			return p.Conclude(err)
		}
		resumed := make(chan struct{})
		pause.Wait(func() { close(resumed) })
		<-resumed
		run = pause.Then
	}
}

// converse runs a session with a client that says all of in, piece bytes at a
// time, and then hangs up. It returns what the client was told.
func (m manner) converse(t testing.TB, env prog.Env, in string, piece int) (out string, status int) {
	t.Helper()
	client, ended := m.dial(t, env)
	go func() {
		for len(in) > 0 {
			n := min(piece, len(in))
			if _, err := io.WriteString(client, in[:n]); err != nil {
				break
			}
			in = in[n:]
		}
		client.(*net.UnixConn).CloseWrite()
	}()
	b, err := io.ReadAll(client)
	status = <-ended
	// Who leaves without reading all has the connection reset; what was said before counts.
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	client.Close()
	return string(b), status
}

// dial starts a session with a client at the other end of a socket. Status sends
// how it ended.
func (m manner) dial(t testing.TB, env prog.Env) (client net.Conn, status <-chan int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	server, end := os.NewFile(uintptr(fds[0]), "server"), os.NewFile(uintptr(fds[1]), "client")
	defer end.Close()
	if client, err = net.FileConn(end); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	client.SetDeadline(time.Now().Add(time.Minute))
	done := make(chan int, 1)
	p := process(server, server, env)
	running.Add(1)
	running.clients.Store(client, nil)
	go func() {
		defer running.Done()
		defer running.clients.Delete(client)
		status := m.hold(p)
		server.Close()
		done <- status
	}()
	return client, done
}

// running are the sessions of a home, which end before there is another one.
var running sessionsOfHome

type sessionsOfHome struct {
	sync.WaitGroup
	clients sync.Map // of those that have not ended
}

func (s *sessionsOfHome) end() {
	s.clients.Range(func(client, _ any) bool {
		client.(net.Conn).Close()
		return true
	})
	s.Wait()
}

// both runs a test in each manner.
func both(t *testing.T, test func(t *testing.T, m manner)) {
	for _, m := range manners {
		t.Run(m.name, func(t *testing.T) { test(t, m) })
	}
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

func TestSessions(t *testing.T) { both(t, testSessions) }

func testSessions(t *testing.T, m manner) {
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
			out, status := m.converse(t, env, c.in, piece)
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

// A client that waits for a reply gets it, and one that pipelines gets the
// replies to RCPT, MAIL and RSET together with the next one that is not held.
func TestReplies(t *testing.T) { both(t, testReplies) }

func testReplies(t *testing.T, m manner) {
	home(t, nil, 0)
	client, status := m.dial(t, peer)
	b := make([]byte, 65536)
	for _, c := range []struct{ say, want string }{
		{"", hi},
		{"NOOP\r\n", ok},
		{"MAIL FROM:<a@b>\r\n", ok},
		{"RCPT TO:<x@here.example>\r\nRCPT TO:<x@evil.example>\r\nRCP", ok + notHere},
		{"T TO:<y@here.example>\r\nDATA\r\nRSET", ok + goAhead},
		{"\r\n.\r\nRSET\r\nMAIL FROM:<c@d>\r\nRCPT", "250 ok 1767588414 qp "},
		{"\r\nNOOP\r\nNOOP\r\n", ok},
		{"NOOP\nRSET\nQUIT\n", ok},
	} {
		if _, err := io.WriteString(client, c.say); err != nil {
			t.Fatal(err)
		}
		n, err := client.Read(b)
		if got := string(b[:n]); !strings.HasPrefix(got, c.want) || err != nil {
			t.Errorf("%q: told %q, %v, want %q", c.say, got, err, c.want)
		}
	}
	if got := <-status; got != 0 {
		t.Errorf("status %d after QUIT", got)
	}
}

func TestTimeout(t *testing.T) { both(t, testTimeout) }

func testTimeout(t *testing.T, m manner) {
	home(t, files{"timeoutsmtpd": "0"}, 0) // stands for 1
	var done sync.WaitGroup
	for _, say := range []string{"", "NOO", transaction, transaction + "DATA\r\nm\r\n"} {
		client, status := m.dial(t, peer)
		done.Go(func() {
			io.WriteString(client, say)
			got, err := io.ReadAll(client)
			if !strings.HasSuffix(string(got), "\r\n451 timeout (#4.4.2)\r\n") || err != nil {
				t.Errorf("%q and then nothing: told %q, %v", say, got, err)
			}
			if got := <-status; got != 1 {
				t.Errorf("%q and then nothing: status %d, want 1", say, got)
			}
		})
	}
	done.Wait()
	if message, envelope := queuedFiles(); envelope != "" {
		t.Errorf("queued %q, %q", message, envelope)
	}
}

// A client that is gone ends the session without a word.
func TestClientGone(t *testing.T) { both(t, testClientGone) }

func testClientGone(t *testing.T, m manner) {
	home(t, nil, 0)
	client, status := m.dial(t, peer)
	io.WriteString(client, transaction+"DATA\r\nm\r\n.\r\n")
	client.Close()
	if got := <-status; got != 1 {
		t.Errorf("status %d, want 1", got)
	}
}

func TestUnreadableControls(t *testing.T) { both(t, testUnreadableControls) }

func testUnreadableControls(t *testing.T, m manner) {
	for _, name := range []string{"timeoutsmtpd", "smtpgreeting", "me", "localiphost", "badmailfrom", "databytes", "rcpthosts"} {
		home(t, files{"smtpgreeting": absent, name: absent}, 0)
		file := filepath.Join(conf.Home, "control", name)
		os.Remove(file)
		if err := os.Mkdir(file, 0o755); err != nil {
			t.Fatal(err)
		}
		out, status := m.converse(t, peer, "QUIT\r\n", 100)
		if want := "421 unable to read controls (#4.3.0)\r\n"; out != want || status != 1 {
			t.Errorf("%s is a directory: told %q, status %d, want %q, status 1", name, out, status, want)
		}
	}
}

// A list that breaks in the middle of a session ends it before a recipient that
// may not be allowed is accepted.
func TestBrokenMorercpthosts(t *testing.T) { both(t, testBrokenMorercpthosts) }

func testBrokenMorercpthosts(t *testing.T, m manner) {
	home(t, files{"morercpthosts.cdb": strings.Repeat("\x01\x00\x00\x7f", 600)}, 0)
	out, status := m.converse(t, peer, transaction+"RCPT TO:<x@more.example>\r\n"+send, 1000)
	if want := hi + ok + ok + "421 unable to read controls (#4.3.0)\r\n"; out != want || status != 1 {
		t.Errorf("told %q, status %d, want %q, status 1", out, status, want)
	}
}

// Differs from qmail: the list must be there, see package rcpthosts.
func TestNoRcpthosts(t *testing.T) { both(t, testNoRcpthosts) }

func testNoRcpthosts(t *testing.T, m manner) {
	home(t, files{"rcpthosts": absent}, 0)
	out, _ := m.converse(t, peer, sender+"RCPT TO:<a@b.example>\r\nRCPT TO:<a>\r\nQUIT\r\n", 1000)
	if want := hi + ok + notHere + ok + bye; out != want {
		t.Errorf("told %q, want %q", out, want)
	}
}

func TestMaxLine(t *testing.T) { both(t, testMaxLine) }

func testMaxLine(t *testing.T, m manner) {
	home(t, nil, 0)
	for _, piece := range []int{100000, 1000} {
		out, status := m.converse(t, peer, strings.Repeat("x", maxLine-1)+"\n"+"QUIT\r\n", piece)
		if want := hi + unknown + bye; out != want || status != 0 {
			t.Errorf("%d bytes: told %q, status %d, want %q, status 0", maxLine, out, status, want)
		}
		out, status = m.converse(t, peer, strings.Repeat("x", maxLine)+"\nQUIT\r\n", piece)
		if want := hi + "421 out of memory (#4.3.0)\r\n"; out != want || status != 1 {
			t.Errorf("%d bytes: told %q, status %d, want %q, status 1", maxLine+1, out, status, want)
		}
	}
}

func TestMaxRecipients(t *testing.T) { both(t, testMaxRecipients) }

func testMaxRecipients(t *testing.T, m manner) {
	home(t, nil, 0)
	const size = 512
	fits := maxRecipients / size
	recipient := strings.Repeat("x", size-1-len("@here.example")) + "@here.example"
	in := sender + strings.Repeat("RCPT TO:<"+recipient+">\r\n", fits+2) + send
	out, status := m.converse(t, peer, in, 100000)
	full := "452 too many recipients (#4.5.3)\r\n"
	if want := hi + ok + strings.Repeat(ok, fits) + full + full + goAhead; !strings.HasPrefix(out, want) || status != 0 {
		t.Errorf("told %d times ok and %d times %q, status %d", strings.Count(out, ok), strings.Count(out, full), full, status)
	}
	_, envelope := queuedFiles()
	if got := strings.Count(envelope, "\x00T"+recipient); got != fits {
		t.Errorf("%d recipients are queued, want %d", got, fits)
	}
}

// FuzzSession: whatever a client says, each reply is a line with a number, and
// what is queued was accepted: its recipients are few enough, short enough and
// allowed, and the client was told.
func FuzzSession(f *testing.F) {
	for _, c := range sessions {
		if len(c.in) < 1000 {
			f.Add(c.in, 7)
		}
	}
	home(f, nil, 0)
	script := "#!/bin/sh\ncat >message; cat <&1 >>envelopes\n"
	if err := os.WriteFile(filepath.Join(conf.Home, "bin/qmail-queue"), []byte(script), 0o755); err != nil {
		f.Fatal(err)
	}
	reply := regexp.MustCompile(`^\d\d\d[ -][^\r\n]*\r\n$`)
	accepted := regexp.MustCompile(`(?m)^250 ok \d+ qp \d+\r$`)
	f.Fuzz(func(t *testing.T, in string, piece int) {
		m := manners[len(in)%len(manners)]
		envelopes := filepath.Join(conf.Home, "envelopes")
		os.Remove(envelopes)
		out, status := m.converse(t, peer, in, max(1, piece))
		for _, line := range strings.SplitAfter(out, "\n") {
			if line != "" && !reply.MatchString(line) {
				t.Errorf("%q is no reply", line)
			}
		}
		if status != 0 && status != 1 || (status == 0) != strings.HasSuffix(out, bye) {
			t.Errorf("status %d after %q", status, out)
		}
		b, _ := os.ReadFile(envelopes)
		queued := 0
		for text := string(b); text != ""; {
			var e string
			e, text, _ = strings.Cut(text, "\x00\x00")
			checkEnvelope(t, e)
			queued++
		}
		if told := len(accepted.FindAllString(out, -1)); told != queued {
			t.Errorf("%d messages are queued, the client was told of %d", queued, told)
		}
	})
}

func checkEnvelope(t *testing.T, envelope string) {
	for i, record := range strings.Split(envelope, "\x00") {
		if record == "" || (record[0] == 'F') != (i == 0) || (record[0] == 'T') != (i > 0) || len(record) > 900 {
			t.Errorf("envelope %q has the record %q", envelope, record)
			return
		}
		_, domain, ok := strings.Cut(record, "@")
		domain = strings.ToLower(domain[strings.LastIndexByte(domain, '@')+1:])
		allowed := domain == "here.example" || domain == "mixed.example" || strings.HasSuffix(domain, ".sub.example")
		if i > 0 && ok && !allowed {
			t.Errorf("envelope %q has the recipient %q", envelope, record)
		}
	}
}
