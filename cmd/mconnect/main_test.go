package main

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"quail/internal/prog"
)

// The conversation goes on when the input has ended, and every LF gets a CR, also one
// that has one, as with ucspi-tcp 0.88.
func TestRun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const input, sent = "a\nb\r\nquit\n", "a\r\nb\r\r\nquit\r\n"
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		got := make([]byte, len(sent))
		io.ReadFull(c, got)
		io.WriteString(c, "got "+string(got))
	}()
	host, port, _ := net.SplitHostPort(l.Addr().String())
	for _, c := range []struct {
		args   []string
		status int
		stdout string
	}{
		{[]string{host, port}, 0, "got " + sent},
		{[]string{"0", "no-such-service"}, 111, ""},
	} {
		stdin, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, input)
		w.Close()
		stdout, err := os.Create(t.TempDir() + "/stdout")
		if err != nil {
			t.Fatal(err)
		}
		p := &prog.Process{Name: "mconnect", Args: c.args, Stdin: stdin, Stdout: stdout}
		status := p.Do(run)
		got, _ := os.ReadFile(stdout.Name())
		if status != c.status || string(got) != c.stdout {
			t.Errorf("%q: %d, %q, want %d, %q", c.args, status, got, c.status, strings.TrimSpace(c.stdout))
		}
	}
}
