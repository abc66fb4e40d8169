package popup

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"quail/internal/pop3"
	"quail/internal/prog"
)

// What the original does too is in testdata/pop3, which internal/pop3 tests.

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// script writes a program for sh.
func script(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "check")
	check(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	return path
}

const greeting = "+OK <42.978307200@h.example>\r\n"

// begin starts a session in which the script checks passwords, and returns the client's
// end of it and its end.
func begin(t *testing.T, timeout time.Duration, text string, args ...string) (client *os.File, done <-chan error) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	check(t, err)
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	server := os.NewFile(uintptr(fds[0]), "server")
	client = os.NewFile(uintptr(fds[1]), "client")
	p := &prog.Process{
		Args:   append([]string{"h.example", script(t, text)}, args...),
		Env:    prog.Env{"PATH=" + os.Getenv("PATH")},
		Dir:    t.TempDir(),
		Stdin:  server,
		Stdout: server,
		Stderr: os.Stderr,
		PID:    42,
		Now:    func() time.Time { return time.Unix(978307200, 0) },
	}
	ended := make(chan error, 1)
	go func() {
		err := p.Call(func(p *prog.Process) error { return run(p, timeout) })
		server.Close()
		ended <- err
	}()
	t.Cleanup(func() { client.Close() })
	return client, ended
}

const later = time.Minute

// talk says something, which is all, and returns everything that is answered.
func talk(t *testing.T, said, text string, args ...string) (heard string) {
	t.Helper()
	client, done := begin(t, later, text, args...)
	// The session may end before it has heard all.
	if _, err := client.WriteString(said); err != nil && !errors.Is(err, syscall.EPIPE) {
		t.Fatal(err)
	}
	check(t, shutdown(client))
	out, err := io.ReadAll(client)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	if err := <-done; err != ended {
		t.Errorf("after %.60q the session ended with %v", said, err)
	}
	rest, ok := strings.CutPrefix(string(out), greeting)
	if !ok {
		t.Fatalf("%.60q is answered with %q", said, out)
	}
	return rest
}

// shutdown says that nothing more will be said.
func shutdown(f *os.File) (err error) {
	raw, err := f.SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { err = syscall.Shutdown(int(fd), syscall.SHUT_WR) })
	}
	return err
}

func TestSession(t *testing.T) {
	const ok, failed = "+OK \r\n", "-ERR authorization failed\r\n"
	for _, c := range []struct{ said, script, heard string }{
		{"CAPA\r\ncapa x\r\n", "", strings.Repeat("+OK \r\nUSER\r\nPIPELINING\r\n.\r\n", 2)},
		// What comes behind the password is for the next program, to the byte.
		{"USER a\r\nPASS b\r\nSTAT\r\nLI", "cat <&3 >/dev/null; cat", ok + "STAT\r\nLI"},
		{"APOP a b\nX\n", "cat <&3 >/dev/null; cat", "X\n"},
		{"USER a\r\nPASS b\r\nQUIT\r\n", "exit 1", ok + failed},
		// A program need not read the record, and may be gone before it is written.
		{"USER a\r\nPASS b\r\n", "exec 3<&-; exit 0", ok},
		{"USER a\r\nPASS b\r\n", "exec 3<&-; exit 1", ok + failed},
		{"USER " + strings.Repeat("a", 16000) + "\r\nPASS " + strings.Repeat("b", 16000) + "\r\n", "wc -c <&3", ok + "32027\n"},
		{"USER " + strings.Repeat("a", 16000) + "\r\nPASS " + strings.Repeat("b", 16000) + "\r\n", "exit 1", ok + failed},
		{"USER a\r\nPASS b\r\n", "kill -9 $$", ok + "-ERR aack, child crashed\r\n"},
		// Lines are bounded.
		{"NOOP " + strings.Repeat("x", pop3.MaxLine-6) + "\r\n", "", ok},
		{"NOOP " + strings.Repeat("x", pop3.MaxLine) + "\r\nUSER a\r\n", "", pop3.NoMemory + "\r\n"},
		{"USER " + strings.Repeat("a", 10<<20), "", pop3.NoMemory + "\r\n"},
	} {
		if heard := talk(t, c.said, c.script); heard != c.heard {
			t.Errorf("%.60q, %q: %q, want %q", c.said, c.script, heard, c.heard)
		}
	}
}

// The program finds the record on descriptor 3 whole, with its end, in a pipe that
// blocks, and finds neither end of it anywhere else.
func TestDescriptors(t *testing.T) {
	const text = `cat <&3; echo; cat <&3; (exec 3<&-; for fd in 4 5 6 7 8 9; do true <&$fd && echo $fd; done) 2>/dev/null; echo "$0: $*" | sed s,.*/,,; pwd | wc -l`
	for range 5 {
		heard := talk(t, "APOP joe  digest\r\n", text, "x", "y z")
		if want := "joe\x00 digest\x00<42.978307200@h.example>\x00\ncheck: x y z\n1\n"; heard != want {
			t.Errorf("%q, want %q", heard, want)
		}
	}
}

// Nothing can be started.
func TestNoProgram(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(dir+"/file", []byte("text"), 0o644))
	for _, name := range []string{dir + "/none", dir + "/file", dir, "quail-no-such-program", ""} {
		p := &prog.Process{Args: []string{"h", name}, Env: prog.Env{"PATH=/bin"}, Dir: dir, Now: time.Now}
		if refusal := login(p, p.Args[1:], []byte("x")); refusal != "-ERR authorization failed" {
			t.Errorf("%s: %q", name, refusal)
		}
	}
}

// A client that says nothing, or takes nothing, is left alone after a while.
func TestTimeout(t *testing.T) {
	if timeout != 1200*time.Second {
		t.Errorf("clients have %v", timeout)
	}
	for _, said := range []string{"", "USER a\r\nPASS", strings.Repeat("NOOP\r\n", 1<<20)} {
		client, done := begin(t, 50*time.Millisecond, "echo no")
		go client.WriteString(said)
		if err := <-done; err != ended {
			t.Errorf("%.40q: ended with %v", said, err)
		}
	}
}

// However long a session with the POP server takes, it is not ended from here.
func TestPatience(t *testing.T) {
	client, done := begin(t, 50*time.Millisecond, "cat <&3 >/dev/null; read line; sleep 0.2; echo $line")
	_, err := client.WriteString("USER a\r\nPASS b\r\nhello\n")
	check(t, err)
	heard, err := io.ReadAll(client)
	if want := greeting + "+OK \r\nhello\n"; string(heard) != want || err != nil {
		t.Errorf("%q, %v, want %q", heard, err, want)
	}
	<-done
}

// Whatever a client says, each line that it hears is one of a reply, and an attempt has
// three parts and leaves the rest where it is.
func FuzzSession(f *testing.F) {
	f.Add([]byte("USER a\r\nPASS b\r\nSTAT\r\n"))
	f.Add([]byte("apop a b\nx"))
	f.Add([]byte("CAPA\r\nPASS x\r\nUSER\r\nquit\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		dir := t.TempDir()
		check(t, os.WriteFile(dir+"/in", said, 0o600))
		check(t, os.WriteFile(dir+"/check", []byte("#!/bin/sh\ncat <&3 >record\ncat >rest\n"), 0o755))
		p := &prog.Process{Args: []string{"h", dir + "/check"}, Env: prog.Env{"PATH=/bin:/usr/bin"}, Dir: dir, Now: time.Now}
		var err error
		p.Stdin, err = os.Open(dir + "/in")
		check(t, err)
		defer p.Stdin.Close()
		p.Stdout, err = os.Create(dir + "/out")
		check(t, err)
		defer p.Stdout.Close()
		if status := p.Do(Run); status != 1 {
			t.Fatalf("status %d", status)
		}
		heard, err := os.ReadFile(dir + "/out")
		check(t, err)
		for line := range bytes.SplitSeq(bytes.TrimSuffix(heard, []byte("\r\n")), []byte("\r\n")) {
			if !bytes.HasPrefix(line, []byte("+OK ")) && !bytes.HasPrefix(line, []byte("-ERR ")) &&
				string(line) != "USER" && string(line) != "PIPELINING" && string(line) != "." {
				t.Fatalf("%q is answered with %q", said, heard)
			}
		}
		record, err := os.ReadFile(dir + "/record")
		if err != nil {
			return
		}
		rest, err := os.ReadFile(dir + "/rest")
		check(t, err)
		if bytes.Count(record, []byte{0}) != 3 || !bytes.HasSuffix(said, rest) || !bytes.HasSuffix(said[:len(said)-len(rest)], []byte("\n")) {
			t.Errorf("%q makes the record %q and leaves %q", said, record, rest)
		}
	})
}
