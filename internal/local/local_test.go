package local

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"quail/internal/prog"
)

// hasLine is headerHas without a thought for memory.
func hasLine(message, line string) bool {
	for _, l := range strings.SplitAfter(message, "\n") {
		if !strings.HasSuffix(l, "\n") {
			return false
		}
		if l == line {
			return true
		}
		if l == "\n" {
			return false
		}
	}
	return false
}

func FuzzHeaderHas(f *testing.F) {
	f.Add([]byte("A: b\nDelivered-To: x\n\nhi\n"), "Delivered-To: x")
	f.Add([]byte("\nDelivered-To: x\n"), "Delivered-To: x")
	f.Add(bytes.Repeat([]byte("y"), 70000), "y")
	f.Fuzz(func(t *testing.T, message []byte, line string) {
		line = strings.ReplaceAll(line, "\n", "_") + "\n"
		got, err := headerHas(bytes.NewReader(message), line)
		if want := hasLine(string(message), line); got != want || err != nil {
			t.Errorf("%q in %q: %v, %v, want %v", line, message, got, err, want)
		}
	})
}

func TestHeaderHasReadError(t *testing.T) {
	r := io.MultiReader(strings.NewReader("A: b\n"), iotest.ErrReader(os.ErrClosed))
	if found, err := headerHas(r, "x\n"); found || err != os.ErrClosed {
		t.Errorf("%v, %v, want %v", found, err, os.ErrClosed)
	}
}

// run runs qmail-local on a message in this process and returns its status and
// what it said.
func run(t *testing.T, uid int, stdin *os.File, args ...string) (int, string) {
	t.Helper()
	out, err := os.Create(t.TempDir() + "/out")
	check(t, err)
	defer out.Close()
	p := &prog.Process{
		Name: "qmail-local", Args: args, UID: uid, PID: 42, Dir: "/",
		Stdin: stdin, Stdout: out, Stderr: out,
		Env: prog.Env{"PATH=/usr/bin:/bin", "GOMAXPROCS=1"},
		Now: func() time.Time { return time.Unix(1767588414, 0).UTC() },
	}
	status := p.Do(new(Program).Run)
	text, err := os.ReadFile(out.Name())
	check(t, err)
	return status, string(text)
}

func TestRoot(t *testing.T) {
	home := t.TempDir()
	args := []string{"--", "joe", home, "joe", "", "", "h", "s@x", "./Mailbox"}
	if status, said := run(t, 0, nil, args...); status != 111 || said != "Not allowed to perform deliveries as root. (#4.3.0)\n" {
		t.Errorf("delivering: %d, %q", status, said)
	}
	args[0] = "-n"
	if status, said := run(t, 0, nil, args...); status != 0 || said != "mbox ./Mailbox\ndid 1+0+0\n" {
		t.Errorf("describing: %d, %q", status, said)
	}
}

func TestUsage(t *testing.T) {
	const usage = "qmail-local: usage: qmail-local [ -nN ] user homedir local dash ext domain sender aliasempty\n"
	for _, c := range []struct {
		args string
		want string
	}{
		{"", usage},
		{"joe /home joe - x h s", usage},
		{"joe /home joe - x h s ./M x", usage},
		{"joe home joe - x h s ./M", usage},
		{"-x joe /home joe - x h s ./M", "qmail-local: illegal option -- x\n" + usage},
	} {
		if status, said := run(t, 1000, nil, strings.Fields(c.args)...); status != 100 || said != c.want {
			t.Errorf("%s: %d, %q, want 100, %q", c.args, status, said, c.want)
		}
	}
}

// A pipe could be read once only.
func TestPipe(t *testing.T) {
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	w.Close()
	status, said := run(t, 1000, r, "joe", t.TempDir(), "joe", "", "", "h", "s@x", "./Mailbox")
	if status != 111 || said != "Unable to rewind message. (#4.3.0)\n" {
		t.Errorf("%d, %q", status, said)
	}
}

// What the date is made of, and what users' programs must not see.
func TestClockAndEnvironment(t *testing.T) {
	home := t.TempDir()
	check(t, os.WriteFile(home+"/message", []byte("hi\n"), 0o600))
	stdin, err := os.Open(home + "/message")
	check(t, err)
	defer stdin.Close()
	status, said := run(t, 1000, stdin, "joe", home, "joe", "", "", "h", "s@x", `|echo "$UFLINE"; env | grep ^GO`+"\n"+`|:`)
	if want := "From s@x Mon Jan 05 04:46:54 2026\n\n"; status != 111 || said != want {
		t.Errorf("%d, %q, want 111, %q", status, said, want)
	}
}

// One message into a Maildir, in a process that has others to do.
func BenchmarkMaildir(b *testing.B) {
	home := b.TempDir()
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(home+"/Maildir/"+sub, 0o700); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(home+"/message", []byte("Subject: x\n\n"+strings.Repeat("A line of text.\n", 256)), 0o600); err != nil {
		b.Fatal(err)
	}
	message, err := os.Open(home + "/message")
	if err != nil {
		b.Fatal(err)
	}
	defer message.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	var w Program
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		p := &prog.Process{
			Name: "qmail-local", UID: 1000, PID: n, Dir: "/", Warm: true, Now: time.Now,
			Args:  []string{"--", "joe", home, "joe", "", "", "h", "s@x", "./Maildir/"},
			Stdin: message, Stdout: null, Stderr: null,
		}
		if status := p.Do(w.Run); status != 0 {
			b.Fatalf("status %d", status)
		}
	}
}
