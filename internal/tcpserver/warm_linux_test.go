package tcpserver

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quail/internal/warm"
)

// install puts the program visitor, ending as told, into a directory.
func install(t *testing.T, dir, end string) (path string) {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "visitor")
	if err := os.WriteFile(path+".new", append(bytes.TrimSuffix(self, []byte(warm.Mark)), end...), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// words takes what the visitor says apart.
func words(t *testing.T, said string) (isWarm bool, number int, rest string) {
	t.Helper()
	if _, err := fmt.Sscan(said, &isWarm, &number); err != nil {
		t.Fatalf("the visitor says %q", said)
	}
	_, rest, _ = strings.Cut(said, " ")
	_, rest, _ = strings.Cut(rest, " ")
	return isWarm, number, rest
}

// The log and the program are as where each connection has a process, but for numbers
// that no process has.
func TestWarmLines(t *testing.T) {
	program := install(t, t.TempDir(), warm.Mark)
	s := start(t, []string{"-vHR", "-lme", "127.0.0.1", "0", program, "tell", "a b"})
	s.expect(`tcpserver: status: 0/40`)
	dir, _ := os.Getwd()
	last := 0
	for range 3 {
		isWarm, number, rest := words(t, s.get("127.0.0.1"))
		if want := dir + ` ["tell" "a b"] 127.0.0.1` + "\n"; !isWarm || !warm.IsJob(number) || number == last || rest != want {
			t.Errorf("warm %t, number %d after %d, %q; want %q", isWarm, number, last, rest, want)
		}
		n := strconv.Itoa(number)
		s.expect(`tcpserver: status: 1/40`,
			`tcpserver: pid `+n+` from 127\.0\.0\.1`,
			`tcpserver: ok `+n+` me:127\.0\.0\.1:LPORT :127\.0\.0\.1::[0-9]+`,
			`tcpserver: end `+n+` status 768`,
			`tcpserver: status: 0/40`)
		last = number
	}
	if status, rest := s.stop(); status != 0 || !strings.HasPrefix(rest, "tcpserver: jobs: 3 warm, 0 declined, 0 cold, 0 foreign, 0 lost;") {
		t.Errorf("exit status %d, wrote %q", status, rest)
	}
}

// TestWarmRules: each connection has the environment that its rule gives it, and no
// other.
func TestWarmRules(t *testing.T) {
	program := install(t, t.TempDir(), warm.Mark)
	s := start(t, []string{"-HR", "-l0", "-x", "testdata/rules.cdb", "127.0.0.1", "0", program, "tell"})
	for _, c := range []struct{ from, want string }{
		{"127.0.0.3", "127.0.0.3bar"},
		{"127.0.0.1", "127.0.0.1"},
		{"127.0.0.3", "127.0.0.3bar"},
	} {
		isWarm, _, rest := words(t, s.get(c.from))
		if !isWarm || !strings.HasSuffix(rest, " "+c.want+"\n") {
			t.Errorf("from %s: warm %t, %q, want %s", c.from, isWarm, rest, c.want)
		}
	}
	if got := s.get("127.0.0.2"); got != "" {
		t.Errorf("a client that is denied reads %q", got)
	}
}

// TestWarmOtherwise: jobs that are declined, that become something else, or that fail.
func TestWarmOtherwise(t *testing.T) {
	program := install(t, t.TempDir(), warm.Mark)
	for _, c := range []struct {
		args   []string
		says   string // a prefix
		status string
		counts string
	}{
		{[]string{program, "decline"}, "false ", "768", "1 warm, 1 declined, 0 cold, 0 foreign, 0 lost"},
		{[]string{program, "become", program, "tell"}, "true ", "768", "2 warm, 0 declined, 0 cold, 0 foreign, 0 lost"},
		{[]string{program, "become", "echo", "it"}, "it\n", "0", "1 warm, 0 declined, 0 cold, 1 foreign, 0 lost"},
		{[]string{program, "become", "/nonexistent"}, "", "28416", "1 warm, 0 declined, 0 cold, 1 foreign, 0 lost"},
		{[]string{"env", "FOO=x", program, "tell"}, "false ", "768", "0 warm, 0 declined, 0 cold, 1 foreign, 0 lost"},
		{[]string{program, "panic"}, "", "28416", "1 warm, 0 declined, 0 cold, 0 foreign, 0 lost"},
		{[]string{program, "die"}, "", "9", "1 warm, 0 declined, 0 cold, 0 foreign, 1 lost"},
	} {
		s := start(t, append([]string{"-vHR", "-l0", "127.0.0.1", "0"}, c.args...))
		if got := s.get("127.0.0.1"); !strings.HasPrefix(got, c.says) || c.says == "" && got != "" {
			t.Errorf("%q: client reads %q, want %q", c.args[1:], got, c.says)
		}
		if !strings.Contains(s.until("tcpserver: end "), " status "+c.status+"\n") {
			t.Errorf("%q: ended otherwise than with status %s", c.args[1:], c.status)
		}
		if _, rest := s.stop(); !strings.Contains(rest, "tcpserver: jobs: "+c.counts+";") {
			t.Errorf("%q: wrote %q, want %s", c.args[1:], rest, c.counts)
		}
	}
}

// until returns the first line of the log that begins so.
func (s *instance) until(begin string) string {
	s.t.Helper()
	for {
		line, err := s.log.ReadString('\n')
		if err != nil {
			s.t.Fatalf("log: %v, no line begins with %q", err, begin)
		}
		if strings.HasPrefix(line, begin) {
			return line
		}
	}
}

// echoes reports whether the program still answers on a connection.
func echoes(t *testing.T, c *net.TCPConn, text string) {
	t.Helper()
	io.WriteString(c, text)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Errorf("got %q, error %v", got, err)
	}
}

// TestWarmTerm: sessions of a warm program live on when tcpserver ends, which it does
// at once, and the program ends with the last of them.
func TestWarmTerm(t *testing.T) {
	program := install(t, t.TempDir(), warm.Mark)
	s := start(t, []string{"-HR", "-l0", "127.0.0.1", "0", program, "echo"})
	clients := []*net.TCPConn{s.dial("127.0.0.1"), s.dial("127.0.0.1")}
	for _, c := range clients {
		echoes(t, c, "before")
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if _, err := net.Dial("tcp", "127.0.0.1:"+s.port); err == nil {
		t.Error("the port is still open")
	}
	for _, c := range clients {
		echoes(t, c, "after")
	}
	for _, c := range clients {
		c.CloseWrite()
		if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
			t.Errorf("at the end: %q, %v", got, err)
		}
	}
	// The log is the program's descriptor 2 too: it ends with it.
	if rest, err := io.ReadAll(s.log); len(rest) > 0 || err != nil {
		t.Errorf("the log goes on with %q, %v", rest, err)
	}
}

// TestSwap: a program that is replaced serves the next connection, and the old one
// those that it has.
func TestSwap(t *testing.T) {
	dir := t.TempDir()
	program := install(t, dir, warm.Mark)
	s := start(t, []string{"-HR", "-l0", "127.0.0.1", "0", program, "echo"})
	old := s.dial("127.0.0.1")
	echoes(t, old, "old")
	if err := os.WriteFile(program+".new", []byte("#!/bin/sh\necho swapped\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(program+".new", program); err != nil {
		t.Fatal(err)
	}
	if got := s.get("127.0.0.1"); got != "swapped\n" {
		t.Errorf("after the swap: %q", got)
	}
	echoes(t, old, "still old")
	install(t, dir, "x"+warm.Mark)
	c := s.dial("127.0.0.1")
	echoes(t, c, "warm again")
}

// TestWarmLimit: a connection above the limit is served when another has ended, whose
// client sees that at once although tcpserver had the connection too.
func TestWarmLimit(t *testing.T) {
	program := install(t, t.TempDir(), warm.Mark)
	s := start(t, []string{"-HR", "-l0", "-c2", "127.0.0.1", "0", program, "echo"})
	one, two, three := s.dial("127.0.0.1"), s.dial("127.0.0.1"), s.dial("127.0.0.1")
	echoes(t, one, "one")
	echoes(t, two, "two")
	io.WriteString(three, "three")
	three.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := three.Read(make([]byte, 10)); n > 0 || err == nil {
		t.Error("the third of two connections is served")
	}
	one.CloseWrite()
	if got, err := io.ReadAll(one); len(got) > 0 || err != nil {
		t.Errorf("at the end of the first: %q, %v", got, err)
	}
	three.SetDeadline(time.Now().Add(patient))
	got := make([]byte, 5)
	if _, err := io.ReadFull(three, got); string(got) != "three" || err != nil {
		t.Errorf("the third one reads %q, %v", got, err)
	}
}

// TestWarmMany: nothing is lost or mixed when connections come faster than they go.
func TestWarmMany(t *testing.T) {
	program := install(t, t.TempDir(), warm.Mark)
	s := start(t, []string{"-HR", "-l0", "-c100", "-b200", "127.0.0.1", "0", program, "echo"})
	var clients sync.WaitGroup
	for range 300 {
		c := s.dial("127.0.0.1")
		clients.Go(func() {
			want := c.LocalAddr().String()
			io.WriteString(c, want)
			c.CloseWrite()
			if got, err := io.ReadAll(c); string(got) != want || err != nil {
				t.Errorf("sent %q, got %q, error %v", want, got, err)
			}
		})
	}
	clients.Wait()
}

// TestWarmQuiet: -q is quiet about warm programs too.
func TestWarmQuiet(t *testing.T) {
	program := install(t, t.TempDir(), warm.Mark)
	s := start(t, []string{"-qHR", "-l0", "127.0.0.1", "0", program, "die"})
	s.get("127.0.0.1")
	s.get("127.0.0.1")
	if _, rest := s.stop(); rest != "" {
		t.Errorf("with -q the log is %q", rest)
	}
}
