package popup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/pop3"
	"quail/internal/popnet"
	"quail/internal/prog"
)

// What the original does too is in testdata/pop3, which internal/pop3 tests; how the
// other half takes what strangers say, in package popnet.

// TestMain lets the test binary be the other half.
func TestMain(m *testing.M) {
	const variable = "QUAIL_TEST_POPNET"
	if os.Getenv(variable) != "" {
		os.Unsetenv(variable)
		prog.Main("qmail-popnet", popnet.Run, prog.Descriptors(5))
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "popup")
		if err == nil {
			defer os.RemoveAll(dir)
			conf.Home = dir
			err = os.Mkdir(dir+"/bin", 0o755)
		}
		var self string
		if err == nil {
			self, err = os.Executable()
		}
		if err == nil {
			err = os.WriteFile(dir+"/bin/qmail-popnet", []byte("#!/bin/sh\n"+variable+"=1 exec '"+self+"' \"$@\"\n"), 0o755)
		}
		if err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

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
func begin(t *testing.T, text string, args ...string) (client *os.File, done <-chan error) {
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
		err := p.Call(func(p *prog.Process) error { return program{}.run(p) })
		server.Close()
		ended <- err
	}()
	t.Cleanup(func() { client.Close() })
	return client, ended
}

// talk says something, which is all, and returns everything that is answered.
func talk(t *testing.T, said, text string, args ...string) (heard string) {
	t.Helper()
	client, done := begin(t, text, args...)
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
	longest := strings.Repeat("x", pop3.MaxLine-len("USER \r"))
	for _, c := range []struct{ said, script, heard string }{
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
		{"USER " + longest + "\r\nPASS " + longest + "\r\n", "wc -c <&3", fmt.Sprintf("%s%d\n", ok, 2*len(longest)+27)},
		// The server is told what it has to know of a client's UTF-8.
		{"APOP a b\r\n", "echo $POP3UTF8", "off\n"},
		{"UTF8\r\nAPOP a b\r\n", "echo $POP3UTF8", ok + "on\n"},
		// Nobody logs in, nothing is run.
		{"USER a\r\nQUIT\r\nPASS b\r\n", "echo no", ok + ok},
		{"USER a\r\nPASS b", "echo no", ok},
		{"", "echo no", ""},
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

// Nothing can be started. The client is not told why, the log is.
func TestNoProgram(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(dir+"/file", []byte("text"), 0o644))
	for _, name := range []string{dir + "/none", dir + "/file", dir, "quail-no-such-program", ""} {
		stderr, err := os.Create(dir + "/stderr")
		check(t, err)
		p := &prog.Process{Name: "qmail-popup", Args: []string{"h", name}, Env: prog.Env{"PATH=/bin"}, Dir: dir, Stderr: stderr, Now: time.Now}
		if refusal := login(p, nil, nil, p.Env, []byte("x")); refusal != "-ERR authorization failed" {
			t.Errorf("%s: %q", name, refusal)
		}
		said, err := os.ReadFile(stderr.Name())
		check(t, errors.Join(err, stderr.Close()))
		if want := "qmail-popup: warning: unable to run " + name + ": "; !strings.HasPrefix(string(said), want) {
			t.Errorf("says %q, want %q", said, want)
		}
	}
}

// However long a session with the POP server takes, it is not ended from here.
func TestPatience(t *testing.T) {
	client, done := begin(t, "cat <&3 >/dev/null; read line; sleep 0.2; echo $line")
	_, err := client.WriteString("USER a\r\nPASS b\r\nhello\n")
	check(t, err)
	heard, err := io.ReadAll(client)
	if want := greeting + "+OK \r\nhello\n"; string(heard) != want || err != nil {
		t.Errorf("%q, %v, want %q", heard, err, want)
	}
	<-done
}

// Whoever has taken the other half over can do no more than fail to log in.
func TestHostileHalf(t *testing.T) {
	home := conf.Home
	t.Cleanup(func() { conf.Home = home })
	for _, c := range []struct{ does, want string }{
		{"", "exit"},
		{"printf 'joe' >&3", "unable to believe qmail-popnet: attempt to log in is not in form"},
		{`printf '\0joe\0secret\0x' >&3`, "unable to believe qmail-popnet: attempt to log in is not in form"},
		{"head -c 1000000 /dev/zero >&3 2>/dev/null", "unable to believe qmail-popnet: attempt to log in is not in form"},
		{`printf '\0joe\0secret\0' >&3`, "exit"},
		{`printf 't\0joe\0secret\0' >&3; exec 3>&-; cat <&4`, "exit"},
	} {
		conf.Home = t.TempDir()
		check(t, os.Mkdir(conf.Home+"/bin", 0o755))
		check(t, os.WriteFile(conf.Home+"/bin/qmail-popnet", []byte("#!/bin/sh\n"+c.does+"\n"), 0o755))
		client, done := begin(t, "cat <&3 | tr '\\000' ' '")
		heard, err := io.ReadAll(client)
		check(t, err)
		got := <-done
		if got == nil || got.Error() != c.want {
			t.Errorf("%s: ended with %v, want %s", c.does, got, c.want)
		}
		want := ""
		if strings.Contains(c.does, "secret\\0'") {
			want = "joe secret <42.978307200@h.example> "
		}
		if string(heard) != want {
			t.Errorf("%s: the client hears %q, want %q", c.does, heard, want)
		}
	}
}

// A half that has failed is not taken for a client that has gone.
func TestFailedHalf(t *testing.T) {
	home := conf.Home
	t.Cleanup(func() { conf.Home = home })
	for _, c := range []struct {
		does, says string
		status     int
	}{
		{"exit 0", "", 1},
		{"exit 111", "", 111},
		{"kill -9 $$", "qmail-popup: fatal: qmail-popnet crashed: wait status 9\n", 111},
		{"printf '\\0joe\\0secret\\0' >&3; exec 3>&-; kill -9 $$", "", 1}, // it has logged in
	} {
		conf.Home = t.TempDir()
		check(t, os.Mkdir(conf.Home+"/bin", 0o755))
		check(t, os.WriteFile(conf.Home+"/bin/qmail-popnet", []byte("#!/bin/sh\n"+c.does+"\n"), 0o755))
		_, done := begin(t, "cat <&3 >/dev/null")
		r, w, err := os.Pipe()
		check(t, err)
		p := &prog.Process{Name: "qmail-popup", Stderr: w}
		status := p.Conclude(<-done)
		w.Close()
		says, err := io.ReadAll(r)
		check(t, err)
		if status != c.status || string(says) != c.says {
			t.Errorf("%s: status %d, says %q; want %d, %q", c.does, status, says, c.status, c.says)
		}
	}
}

// Without the other half there is no session.
func TestNoHalf(t *testing.T) {
	home := conf.Home
	t.Cleanup(func() { conf.Home = home })
	conf.Home = t.TempDir()
	client, done := begin(t, "echo no")
	if heard, err := io.ReadAll(client); len(heard) > 0 || err != nil {
		t.Errorf("%q, %v", heard, err)
	}
	if err := <-done; err == nil || err.Error() != "unable to run qmail-popnet: file does not exist" {
		t.Errorf("ended with %v", err)
	}
}
