package remote

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/localaddr"
	"quail/internal/prog"
	"quail/internal/resolve"
)

// home makes a qmail home with those control files, me and an empty tcpto file.
func home(t testing.TB, controls map[string]string) {
	t.Helper()
	old := conf.Home
	t.Cleanup(func() { conf.Home = old })
	conf.Home = t.TempDir()
	files := map[string]string{
		"control/me":       "me.test\n",
		"queue/lock/tcpto": strings.Repeat("\x00", 1024),
	}
	for name, contents := range controls {
		files["control/"+name] = contents
	}
	for name, contents := range files {
		path := filepath.Join(conf.Home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// job is a process with those arguments and a file with the message.
func job(t testing.TB, message string, args ...string) (p *prog.Process, output func() string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "message"), []byte(message), 0o600); err != nil {
		t.Fatal(err)
	}
	stdin, err := os.Open(filepath.Join(dir, "message"))
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); stdout.Close() })
	p = &prog.Process{
		Name: "qmail-remote", Args: args, Dir: dir,
		Stdin: stdin, Stdout: stdout, Stderr: os.Stderr,
		PID: 4711, Now: time.Now,
	}
	return p, func() string {
		b, err := os.ReadFile(stdout.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

// run delivers and returns what was reported.
func run(t testing.TB, r *Remote, message string, args ...string) string {
	t.Helper()
	p, output := job(t, message, args...)
	if status := p.Do(r.Deliver); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	return output()
}

// nowhere is a Remote whose name server is not there: for what needs no DNS.
func nowhere() *Remote {
	return &Remote{
		Resolver: &resolve.Resolver{Config: os.DevNull, Port: 9},
		Local:    func() (localaddr.Set, error) { return nil, nil },
		Port:     9,
	}
}

// A script is what a server does, in this order:
//
//	>TEXT    sends TEXT
//	<TEXT    must be sent exactly TEXT
//	HELO     must be sent EHLO, refuses it, and must be sent HELO
//	EOF      must see the connection end
//	CLOSE    ends the connection
//	RESET    ends it rudely
//	SILENCE  says nothing until the client has gone, whatever it sends
//
// At its end it must see QUIT and the end of the connection.
type script []string

// listen serves one connection at addr by the script. The result is to be read
// when the client is done: "" or what the client did wrong.
func (s script) listen(t testing.TB, addr string) (port uint16, result func() string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	outcome := make(chan string, 1)
	go func() {
		defer l.Close()
		l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
		conn, err := l.Accept()
		if err != nil {
			outcome <- "no connection"
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		outcome <- s.play(conn)
	}()
	return uint16(l.Addr().(*net.TCPAddr).Port), func() string { return <-outcome }
}

func (s script) play(conn net.Conn) string {
	in := bufio.NewReader(conn)
	for n, step := range append(s, "<QUIT\r\n", "EOF") {
		complaint := ""
		switch {
		case step == "HELO":
			if complaint = expect(in, "EHLO me.test\r\n"); complaint == "" {
				io.WriteString(conn, "502 what?\r\n")
				complaint = expect(in, "HELO me.test\r\n")
			}
		case step == "EOF":
			if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
				complaint = fmt.Sprintf("sent %q, %v, want the end", rest, err)
			}
		case step == "CLOSE":
			return ""
		case step == "RESET":
			conn.(*net.TCPConn).SetLinger(0)
			return ""
		case step == "SILENCE":
			io.Copy(io.Discard, in)
			return ""
		case step[0] == '>':
			io.WriteString(conn, step[1:])
		case step[0] == '<':
			complaint = expect(in, step[1:])
		}
		if complaint != "" {
			return fmt.Sprintf("step %d, %.80q: %s", n, step, complaint)
		}
	}
	return ""
}

// expect reads exactly want.
func expect(in io.Reader, want string) string {
	got := make([]byte, len(want))
	n, err := io.ReadFull(in, got)
	if string(got[:n]) != want {
		return fmt.Sprintf("sent %q, %v", got[:n], err)
	}
	return ""
}

// talk delivers by a route to a server that plays the script, by itself and again as
// one of many jobs, which must make no difference to anybody.
func talk(t testing.TB, s script, message string, args ...string) string {
	t.Helper()
	alone := talkBy(t, nowhere(), s, message, args...)
	r := nowhere()
	r.Keep = new(Keep)
	if kept := talkBy(t, r, s, message, args...); kept != alone {
		t.Errorf("as one of many jobs: reports %.300q, by itself %.300q", kept, alone)
	}
	return alone
}

func talkBy(t testing.TB, r *Remote, s script, message string, args ...string) string {
	t.Helper()
	port, result := s.listen(t, "127.0.0.1:0")
	home(t, map[string]string{
		"smtproutes":    fmt.Sprintf("x.test:127.0.0.1:%d\n", port),
		"timeoutremote": "1\n",
	})
	got := run(t, r, message, append([]string{"x.test"}, args...)...)
	if r.Keep != nil {
		r.Keep.pool.end()
	}
	if complaint := result(); complaint != "" {
		t.Errorf("client: %s", complaint)
	}
	return got
}

// own says that these are this host's addresses.
func own(addrs ...string) func() (localaddr.Set, error) {
	return func() (localaddr.Set, error) {
		var list []netip.Addr
		for _, a := range addrs {
			list = append(list, netip.MustParseAddr(a))
		}
		return localaddr.NewSet(list), nil
	}
}
