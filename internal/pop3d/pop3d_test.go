package pop3d

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// makeMaildir makes a Maildir with files of the names given, in that order of age,
// whose content is their name.
func makeMaildir(t testing.TB, names ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, sub := range []string{"tmp", "new", "cur"} {
		check(t, os.Mkdir(filepath.Join(dir, sub), 0o700))
	}
	for i, name := range names {
		put(t, filepath.Join(dir, name), name+"\n", i)
	}
	return dir
}

func put(t testing.TB, path, text string, seconds int) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(text), 0o600))
	when := time.Unix(978307200+int64(seconds), 0)
	check(t, os.Chtimes(path, when, when))
}

// files lists what is in new and cur.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var found []string
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		check(t, err)
		for _, e := range entries {
			found = append(found, sub+"/"+e.Name())
		}
	}
	return found
}

// client is the other end of a session.
type client struct {
	t    *testing.T
	conn *os.File
	r    *bufio.Reader
	done chan error
}

// begin starts a session on the Maildir.
func begin(t *testing.T, dir string, timeout time.Duration, env ...string) *client {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	check(t, err)
	server, conn := os.NewFile(uintptr(fds[0]), "server"), os.NewFile(uintptr(fds[1]), "client")
	c := &client{t, conn, bufio.NewReader(conn), make(chan error, 1)}
	p := &prog.Process{Args: []string{dir}, Env: env, Stdin: server, Stdout: server, UID: 1, Now: time.Now}
	go func() {
		err := p.Call(func(p *prog.Process) error { return run(p, timeout) })
		server.Close()
		c.done <- err
	}()
	t.Cleanup(func() { conn.Close() })
	return c
}

// say sends a line and wants the answer to be these lines.
func (c *client) say(line string, want ...string) {
	c.t.Helper()
	if line != "" {
		_, err := io.WriteString(c.conn, line+"\r\n")
		check(c.t, err)
	}
	for _, w := range want {
		got, err := c.r.ReadString('\n')
		if got != w+"\r\n" || err != nil {
			c.t.Fatalf("after %.60q: %q, %v, want %q", line, got, err, w)
		}
	}
}

// end wants the session to end with nothing more said.
func (c *client) end() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); len(rest) > 0 || err != nil {
		c.t.Errorf("at the end: %q, %v", rest, err)
	}
	if err := <-c.done; err != nil {
		c.t.Errorf("the session ended with %v", err)
	}
}

const later = time.Minute

func TestCapabilities(t *testing.T) {
	for _, env := range [][]string{nil, {"POP3UTF8=on"}, {"POP3UTF8=off"}} {
		c := begin(t, makeMaildir(t), later, env...)
		c.say("", "+OK ")
		c.say("CAPA", "+OK ", "USER", "TOP", "UIDL", "PIPELINING", "EXPIRE NEVER")
		if env != nil {
			c.say("", "UTF8")
		}
		c.say("", ".")
		c.say("UTF8", "-ERR unimplemented")
		c.say("QUIT", "+OK ")
		c.end()
	}
}

// A client that could have asked for UTF-8 in headers and has not gets none.
func TestUTF8(t *testing.T) {
	dir := makeMaildir(t)
	put(t, filepath.Join(dir, "new/1"), "Subject: gr\u00fcn\n\nsch\u00f6n\n.\nEnde\n", 1)
	put(t, filepath.Join(dir, "new/2"), "Subject: gr\xfcn\n\nsch\xf6n\n", 2)
	for _, c := range []struct {
		env     []string
		subject string
	}{
		{nil, "gr\u00fcn"},
		{[]string{"POP3UTF8=on"}, "gr\u00fcn"},
		{[]string{"POP3UTF8=off"}, "=?utf-8?b?Z3LDvG4=?="},
	} {
		session := begin(t, dir, later, c.env...)
		session.say("", "+OK ")
		session.say("RETR 1", "+OK ", "Subject: "+c.subject, "", "sch\u00f6n", "..", "Ende", "", ".")
		session.say("TOP 1 1", "+OK ", "Subject: "+c.subject, "", "sch\u00f6n", "", ".")
		session.say("RETR 2", "+OK ", "Subject: gr\xfcn", "", "sch\xf6n", "", ".")
		session.say("RSET", "+OK ")
		check(t, session.conn.Close())
		<-session.done
	}
}

// A number beyond all numbers is none of a message's, and not 1.
func TestHugeNumbers(t *testing.T) {
	dir := makeMaildir(t, "cur/1", "cur/2")
	c := begin(t, dir, later)
	c.say("", "+OK ")
	for _, n := range []string{"18446744073709551616", "18446744073709551617", "36893488147419103233", "9223372036854775809", strings.Repeat("9", 16000)} {
		for _, verb := range []string{"LIST ", "UIDL ", "DELE ", "RETR ", "TOP "} {
			c.say(verb+n, "-ERR not that many messages")
		}
		c.say("TOP 1 "+n[:min(len(n), 1000)], "+OK ", "cur/1", "", ".")
	}
	c.say("LIST "+strings.Repeat("0", 16000)+"1", "+OK 1 6")
	c.say("QUIT", "+OK ")
	c.end()
	if got := files(t, dir); !slices.Equal(got, []string{"cur/1", "cur/2"}) {
		t.Errorf("there are %q", got)
	}
}

// Other readers move and remove messages; nobody locks anything.
func TestMaildirChanges(t *testing.T) {
	dir := makeMaildir(t, "new/moved", "new/removed", "new/kept", "new/moved2", "new/removed2", "cur/marked:2,")
	c := begin(t, dir, later)
	c.say("", "+OK ")
	c.say("STAT", "+OK 6 69")
	for from, to := range map[string]string{"new/moved": "cur/moved:2,S", "new/moved2": "cur/moved2:2,S", "cur/marked:2,": "cur/marked:2,RS"} {
		check(t, os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)))
	}
	check(t, os.Remove(filepath.Join(dir, "new/removed")))
	check(t, os.Remove(filepath.Join(dir, "new/removed2")))
	put(t, filepath.Join(dir, "new/arrived"), "x", 0)
	c.say("LIST 2", "+OK 2 12") // as it was listed
	c.say("STAT", "+OK 6 69")
	for i := range 6 {
		if want := "-ERR unable to open that message"; i != 2 {
			c.say(fmt.Sprintf("RETR %d", i+1), want)
		}
	}
	c.say("TOP 1 0", "-ERR unable to open that message")
	c.say("RETR 3", "+OK ", "new/kept", "", ".")
	c.say("RETR 7", "-ERR not that many messages")
	c.say("DELE 1", "+OK ")
	c.say("DELE 2", "+OK ")
	c.say("DELE 3", "+OK ")
	const failed = "-ERR unable to unlink all deleted messages"
	c.say("QUIT", failed, failed, "+OK ")
	c.end()
	want := []string{"new/arrived", "cur/marked:2,RS", "cur/moved2:2,S", "cur/moved:2,S"}
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

// A message that is removed while it is being sent is sent to its end.
func TestRemovedMeanwhile(t *testing.T) {
	dir := makeMaildir(t)
	text := strings.Repeat(strings.Repeat("x", 70)+"\n", 50000) // more than a socket holds
	put(t, filepath.Join(dir, "new/1"), text, 0)
	c := begin(t, dir, later)
	c.say("", "+OK ")
	c.say("RETR 1", "+OK ", strings.Repeat("x", 70))
	check(t, os.Remove(filepath.Join(dir, "new/1")))
	for range 49999 {
		c.say("", strings.Repeat("x", 70))
	}
	c.say("", "", ".")
	c.say("QUIT", "+OK ")
	c.end()
}

// What is no file is no message, and keeps nobody waiting.
func TestNoMessages(t *testing.T) {
	dir := makeMaildir(t)
	check(t, os.Mkdir(filepath.Join(dir, "new/1"), 0o700))
	check(t, unix.Mkfifo(filepath.Join(dir, "new/2"), 0o600))
	check(t, os.Symlink("nowhere", filepath.Join(dir, "new/3")))
	past := time.Unix(978307200, 0)
	check(t, os.Chtimes(filepath.Join(dir, "new/1"), past, past))
	check(t, os.Chtimes(filepath.Join(dir, "new/2"), past, past))
	c := begin(t, dir, later)
	c.say("", "+OK ")
	c.say("UIDL", "+OK ", "1 1", "2 2", ".")
	c.say("RETR 1", "-ERR unable to open that message")
	c.say("RETR 2", "-ERR unable to open that message")
	c.say("QUIT", "+OK ")
	c.end()
}

func TestLongLine(t *testing.T) {
	dir := makeMaildir(t, "cur/1")
	c := begin(t, dir, later)
	c.say("", "+OK ")
	c.say("DELE 1", "+OK ")
	c.say("NOOP "+strings.Repeat("x", pop3.MaxLine-6), "+OK ")
	go c.conn.WriteString(strings.Repeat("QUIT ", 10<<20))
	c.say("", pop3.NoMemory)
	if err := <-c.done; err != nil {
		t.Errorf("the session ended with %v", err)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("there are %q", got)
	}
}

// Commands need not wait for replies, and replies wait for no command.
func TestPipelining(t *testing.T) {
	dir := makeMaildir(t, "cur/1", "cur/2")
	c := begin(t, dir, later)
	c.say("", "+OK ")
	c.say(strings.Repeat("NOOP\r\nLIST 1\r\n", 1000)+"DELE 1\r\nQUIT\r\nDELE 2", slices.Repeat([]string{"+OK ", "+OK 1 6"}, 1000)...)
	c.say("", "+OK ", "+OK ")
	if err := <-c.done; err != nil {
		t.Errorf("the session ended with %v", err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"cur/2"}) {
		t.Errorf("there are %q", got)
	}
}

// A client that takes nothing, or says nothing, is left alone after a while, and what
// it wanted to delete with it.
func TestTimeout(t *testing.T) {
	if timeout != 1200*time.Second {
		t.Errorf("clients have %v", timeout)
	}
	dir := makeMaildir(t, "cur/1")
	put(t, filepath.Join(dir, "cur/2"), strings.Repeat("x", 10<<20), 1)
	for _, commands := range []string{"DELE 1\r\n", "DELE 1\r\nQUI", "DELE 1\r\nRETR 2\r\nQUIT\r\n", "DELE 1\r\n" + strings.Repeat("UIDL\r\n", 10000)} {
		c := begin(t, dir, 50*time.Millisecond)
		go c.conn.WriteString(commands)
		if err := <-c.done; err != nil {
			t.Errorf("%.40q: ended with %v", commands, err)
		}
		if got := files(t, dir); len(got) != 2 {
			t.Errorf("%.40q: there are %q", commands, got)
		}
	}
}

func TestRoot(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "err"))
	check(t, err)
	defer out.Close()
	p := &prog.Process{Args: []string{makeMaildir(t)}, Stderr: out, Now: time.Now}
	status := p.Do(Run)
	said, _ := os.ReadFile(out.Name())
	if status != 1 || string(said) != "qmail-pop3d invoked as uid 0, terminating\n" {
		t.Errorf("%d, %q", status, said)
	}
}

// Whatever a client says: without QUIT nothing changes, with it no more than was asked
// for, and every line that it hears is one of a reply.
func FuzzSession(f *testing.F) {
	f.Add([]byte("DELE 1\r\nLIST\r\nRETR 2\r\nQUIT\r\n"))
	f.Add([]byte("dele 1\ndele 2\nrset\nquit\n"))
	f.Add([]byte("TOP 2 0\r\nUIDL\r\nLAST\r\nSTAT\r\nCAPA\r\nDELE 2\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		dir := makeMaildir(t, "cur/1", "cur/2:2,S")
		in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
		check(t, os.WriteFile(in, said, 0o600))
		p := &prog.Process{Args: []string{dir}, UID: 1, Now: time.Now}
		var err error
		p.Stdin, err = os.Open(in)
		check(t, err)
		defer p.Stdin.Close()
		p.Stdout, err = os.Create(out)
		check(t, err)
		defer p.Stdout.Close()
		if status := p.Do(Run); status != 0 {
			t.Fatalf("status %d", status)
		}
		heard, err := os.ReadFile(out)
		check(t, err)
		first, _, _ := bytes.Cut(heard, []byte("\r\n"))
		if string(first) != "+OK " || !bytes.HasSuffix(heard, []byte("\r\n")) {
			t.Fatalf("%q is answered with %q", said, heard)
		}
		lower := bytes.ToLower(said)
		quit, dele := bytes.Contains(lower, []byte("quit")), bytes.Count(lower, []byte("dele"))
		left := len(files(t, dir))
		if !quit && left != 2 || left < 2-dele {
			t.Errorf("%q leaves %d messages", said, left)
		}
	})
}
