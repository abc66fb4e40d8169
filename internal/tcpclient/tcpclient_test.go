package tcpclient

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"quail/internal/prog"
)

// TestMain lets the test binary be tcpclient.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "tcpclient" {
		prog.Main("tcpclient", Run, prog.Reserve(Descriptors))
	}
	os.Exit(m.Run())
}

// echo is a server that greets and sends back what it gets, until that ends with "quit".
func echo(t *testing.T, address string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, "hi\n")
				b := make([]byte, 4096)
				for {
					n, err := c.Read(b)
					c.Write(b[:n])
					if err != nil || bytes.Contains(b[:n], []byte("quit")) {
						return
					}
				}
			}()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// run runs tcpclient.
func run(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, says bytes.Buffer
	// The name server does not exist, so that nobody is asked.
	cmd := exec.Cmd{Path: self, Args: append([]string{"tcpclient"}, args...), Stdout: &out, Stderr: &says,
		Env: []string{"PATH=/usr/bin:/bin", "DNSCACHEIP=127.0.0.1", "TCPREMOTEHOST=old", "TCPREMOTEINFO=old"}}
	cmd.Run()
	return out.String(), says.String(), cmd.ProcessState.ExitCode()
}

// closed returns a port of 127.0.0.1 that nobody listens on.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// Everything here but the messages about IPv6 is what ucspi-tcp 0.88 does.
func TestTcpclient(t *testing.T) {
	v4, v6, none := echo(t, "127.0.0.1:0"), echo(t, "[::1]:0"), closed(t)
	const variables = `echo $PROTO $TCPREMOTEIP $TCPREMOTEPORT $TCPLOCALIP $TCPLOCALHOST ${TCPREMOTEHOST-none} ${TCPREMOTEINFO-none}; head -n 1 <&6`
	const complete = "tcpclient: usage: " + usage + "\n"
	refused := "tcpclient: unable to connect to 127.0.0.1 port " + none + ": connection refused\n"
	for _, c := range []struct {
		args           []string
		stdout, stderr string
		status         int
	}{
		{[]string{"-RHl0", "127.0.0.1", v4, "sh", "-c", variables}, "TCP 127.0.0.1 " + v4 + " 127.0.0.1 0 none none\nhi\n", "", 0},
		{[]string{"-RHl0", "::1", v6, "sh", "-c", variables}, "TCP6 ::1 " + v6 + " ::1 0 none none\nhi\n", "", 0},
		{[]string{"-vRHlfoo", "0", v4, "sh", "-c", variables}, "TCP 127.0.0.1 " + v4 + " 127.0.0.1 foo none none\nhi\n",
			"tcpclient: connected to 127.0.0.1 port " + v4 + "\n", 0},
		{[]string{"-RHl0", "-i", "127.0.0.9", "", v4, "sh", "-c", variables}, "TCP 127.0.0.1 " + v4 + " 127.0.0.9 0 none none\nhi\n", "", 0},
		{[]string{"-RHl0", "0", v4, "sh", "-c", "echo quit >&7; cat <&6; exit 3"}, "hi\nquit\n", "", 3},
		{[]string{"-RHDl0", "-T", "0", "0", v4, "sh", "-c", "echo $#", "sh", "-v", ""}, "2\n", "", 0},
		{[]string{"-RHl0", "0", v4, "/nonexistent"}, "", "tcpclient: fatal: unable to run /nonexistent: file does not exist\n", 111},
		{[]string{"-qRHl0", "0", v4, "/nonexistent"}, "", "", 111},
		{[]string{"-RHl0", "0", none, "true"}, "", refused, 111},
		{[]string{"-qRHl0", "0", none, "true"}, "", "", 111},
		{[]string{"-RHl0", "0", "no-such-service", "true"}, "", "tcpclient: fatal: unable to figure out port number for no-such-service\n", 111},
		{[]string{"-RHl0", "-i", "192.0.2.1", "0", v4, "true"}, "", "tcpclient: fatal: unable to bind socket: address not available\n", 111},
		{[]string{"-RHl0", "-p", v4, "0", v4, "true"}, "", "tcpclient: fatal: unable to bind socket: address already used\n", 111},
		{[]string{"-RHl0", "-i", "::1", "127.0.0.1", v4, "true"}, "", "tcpclient: fatal: no IP address for 127.0.0.1\n", 111},
		{[]string{"-i", "foo", "0", v4, "true"}, "", complete, 100},
		{[]string{"-p", "65536", "0", v4, "true"}, "", complete, 100},
		{[]string{"0", v4}, "", complete, 100},
		{[]string{"-q", "0"}, "", "", 100},
		{[]string{"-x"}, "", "tcpclient: illegal option -- x\n" + complete, 100},
	} {
		stdout, stderr, status := run(t, c.args...)
		if stdout != c.stdout || stderr != c.stderr || status != c.status {
			t.Errorf("%q: %d, %q, %q, want %d, %q, %q", c.args, status, stdout, stderr, c.status, c.stdout, c.stderr)
		}
	}
}

// The program finds the connection in blocking mode, and nothing else of ours.
func TestDescriptors(t *testing.T) {
	port := echo(t, "127.0.0.1:0")
	const script = `for n in 3 4 5 6 7 8 9; do (exec <&$n) 2>/dev/null && echo $n; done; grep flags /proc/self/fdinfo/6`
	if stdout, stderr, _ := run(t, "-RHl0", "0", port, "sh", "-c", script); stdout != "6\n7\nflags:\t02\n" || stderr != "" {
		t.Errorf("got %q, %q", stdout, stderr)
	}
}
