//go:build !solaris

package splogger

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quail/internal/prog"
)

// useSocket makes a path in a new directory the one where syslogd listens.
func useSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	old := devices
	devices = []string{path + ".absent", path}
	t.Cleanup(func() { devices = old })
	return path
}

// syslogd listens at path and passes on what it receives until closed.
func syslogd(t *testing.T, path string) (*net.UnixConn, <-chan string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	received := make(chan string, 1000)
	go func() {
		defer close(received)
		buf := make([]byte, 65536)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			received <- string(buf[:n])
		}
	}()
	return conn, received
}

// start starts the program on a pipe. Closing the pipe ends it; done says so.
func start(t *testing.T, l *logger, args ...string) (stdin *os.File, done <-chan int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	p := &prog.Process{Name: "splogger", Args: args, Stdin: r, Stderr: os.Stderr, Now: clock()}
	run := Run
	if l != nil {
		run = func(p *prog.Process) error { return copyLines(p, l) }
	}
	status := make(chan int, 1)
	go func() { status <- p.Do(run) }()
	return w, status
}

// within receives from c, and fails the test if it takes too long.
func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: nothing happens", what)
		panic("unreachable")
	}
}

func TestMessages(t *testing.T) {
	at := time.Unix(1795310910, 0).Local().Format("Jan _2 15:04:05")
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "<22>" + at + " splogger: 1795310910.999999 hello"},
		{[]string{"qmail"}, "<22>" + at + " qmail: 1795310910.999999 hello"},
		{[]string{"a b", "16"}, "<134>" + at + " a b: 1795310910.999999 hello"},
		{[]string{"", "0", "ignored"}, "<6>" + at + " : 1795310910.999999 hello"},
	} {
		_, received := syslogd(t, useSocket(t))
		w, done := start(t, nil, c.args...)
		fmt.Fprint(w, "hello\n")
		if got := within(t, "syslogd", received); got != c.want {
			t.Errorf("splogger %q: got %q, want %q", c.args, got, c.want)
		}
		w.Close()
		if status := within(t, "end of input", done); status != 0 {
			t.Errorf("splogger %q: exit status %d", c.args, status)
		}
	}
}

// A day of the month below ten is padded with a blank, as in C.
func TestSingleDigitDay(t *testing.T) {
	_, received := syslogd(t, useSocket(t))
	l := &logger{tag: "t", facility: 2, patience: patience, haste: haste}
	defer l.device.close()
	l.log(priorityInfo, time.Date(2026, 1, 5, 4, 6, 4, 0, time.Local), "x")
	if got := within(t, "syslogd", received); got != "<22>Jan  5 04:06:04 t: x" {
		t.Errorf("got %q", got)
	}
}

func TestStreamSocket(t *testing.T) {
	listener, err := net.Listen("unix", useSocket(t))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	w, done := start(t, nil, "t")
	fmt.Fprint(w, "a\nb\n")
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	within(t, "end of input", done)
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	messages := strings.Split(string(got), "\x00")
	if len(messages) != 3 || !strings.HasSuffix(messages[0], " a") || !strings.HasSuffix(messages[1], " b") || messages[2] != "" {
		t.Errorf("got %q", got)
	}
}

// Without syslogd, lines are dropped; as soon as it is there, or there again, they
// arrive.
func TestSyslogdComesAndGoes(t *testing.T) {
	path := useSocket(t)
	l := &logger{tag: "t", facility: facilityMail, patience: patience, haste: haste}
	defer l.device.close()
	say := func(text string) { l.log(priorityInfo, time.Unix(0, 0), text) }
	say("nobody hears")
	for _, name := range []string{"one", "two", "three"} {
		conn, received := syslogd(t, path)
		say(name)
		if got := within(t, name, received); !strings.HasSuffix(got, ": "+name) {
			t.Errorf("got %q, want %s", got, name)
		}
		conn.Close()
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if name == "two" {
			say("nobody hears")
		}
	}
}

// A syslogd that stops reading costs messages, not time: the input is read to its
// end.
func TestSyslogdIsStuck(t *testing.T) {
	for _, network := range []string{"unixgram", "unix"} {
		path := useSocket(t)
		if network == "unix" {
			listener, err := net.Listen(network, path)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
		} else {
			conn, err := net.ListenUnixgram(network, &net.UnixAddr{Net: network, Name: path})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		l := &logger{tag: "t", facility: facilityMail, patience: 20 * time.Millisecond, haste: time.Millisecond}
		w, done := start(t, l)
		line := strings.Repeat("x", 798) + "\n"
		for range 600 { // more than a socket holds
			if _, err := w.WriteString(line); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		if status := within(t, network, done); status != 0 {
			t.Errorf("%s: exit status %d", network, status)
		}
		if !l.stuck {
			t.Errorf("%s: the socket held everything; the test shows nothing", network)
		}
	}
}

// After a time of dropping, a syslogd that reads again gets the next message.
func TestSyslogdRecovers(t *testing.T) {
	path := useSocket(t)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	l := &logger{tag: "t", facility: facilityMail, patience: 20 * time.Millisecond, haste: time.Millisecond}
	defer l.device.close()
	for i := 0; !l.stuck; i++ {
		if i == 100000 {
			t.Fatal("the socket holds everything")
		}
		l.log(priorityInfo, time.Unix(0, 0), "filling")
	}
	buf := make([]byte, 1000)
	for range 2 {
		if _, err := conn.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	l.log(priorityInfo, time.Unix(0, 0), "back")
	if l.stuck {
		t.Error("still stuck though there is room")
	}
	for {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(string(buf[:n]), ": back") {
			break
		}
	}
}
