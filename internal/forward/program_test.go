package forward

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quail/internal/prog"
)

// TestProgram runs a command twice on the same message, as two lines of a file would.
func TestProgram(t *testing.T) {
	long := strings.Repeat("line\n", 1<<16) // more than a pipe holds
	for _, c := range []struct {
		head, command, message string
		status                 int
		said                   string // by one of two
	}{
		{"", "cat", "a\n", 0, "a\n"},
		{"h\n", "cat", "a\n", 0, "h\na\n"},
		{"h\n", "cat", "", 0, "h\n"},
		{"h\n", "wc -c", long, 0, "327682\n"},
		{"", "head -n 1", long, 0, "line\n"},
		{"h\n", "head -n 1", long, 0, "h\n"}, // the pipe is closed before all has been written
		{"h\n", "exec <&-; echo $X $GOMAXPROCS", long, 0, "y\n"},
		{"", "exit 112", "", 100, ""},
		{"h\n", "exit 99", "", 111, ""},
		{"h\n", "exit 3", "", 111, ""},
		{"", "kill -9 $$", "", 111, "x: fatal: child crashed in kill -9 $$\n"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/message", []byte(c.message), 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := os.Open(dir + "/message")
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := os.Create(filepath.Join(dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		p := &prog.Process{Name: "x", Env: prog.Env{"PATH=/usr/bin:/bin", "X=y", "GOMAXPROCS=1"}, Dir: dir, Stdin: in, Stdout: out, Stderr: out}
		for range 2 {
			if status := p.Do(func(p *prog.Process) error { return Program(p, c.head, c.command) }); status != c.status {
				t.Errorf("%s: status %d, want %d", c.command, status, c.status)
			}
		}
		if b, _ := os.ReadFile(out.Name()); string(b) != c.said+c.said {
			t.Errorf("%s: printed %q, want %q twice", c.command, b, c.said)
		}
	}
}

// A message that cannot be read again is not given to the next program in part.
func TestProgramRewinds(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.Close()
	p := &prog.Process{Name: "x", Env: prog.Env{"PATH=/usr/bin:/bin"}, Dir: t.TempDir(), Stdin: r, Stdout: os.Stdout, Stderr: os.Stderr}
	err = Program(p, "", "cat")
	if err == nil || !strings.HasPrefix(err.Error(), "unable to rewind input: ") {
		t.Errorf("got %v", err)
	}
}
