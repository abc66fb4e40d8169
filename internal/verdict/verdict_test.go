package verdict

import (
	"os"
	"path/filepath"
	"testing"

	"quail/internal/prog"
)

func process(t *testing.T) *prog.Process {
	t.Helper()
	dir := t.TempDir()
	message := filepath.Join(dir, "message")
	if err := os.WriteFile(message, []byte("Subject: x\n\nhi\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdin, err := os.Open(message)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	return &prog.Process{
		Env: prog.Env{"PATH=/usr/bin:/bin", "GOMAXPROCS=1", "X=y"}, Dir: dir,
		Stdin: stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
}

func TestAsk(t *testing.T) {
	busy := filepath.Join(t.TempDir(), "busy")
	f, err := os.OpenFile(busy, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct {
		args []string
		yes  bool
		err  string
	}{
		{[]string{"true"}, true, ""},
		{[]string{"false"}, false, ""},
		{[]string{"sh", "-c", "exit 100"}, false, ""},
		{[]string{"sh", "-c", "exit 99"}, false, ""},
		{[]string{"sh", "-c", "exit 111"}, false, "temporary child error"},
		{[]string{"sh", "-c", "kill -9 $$"}, false, "child crashed"},
		{[]string{"/nonexistent/program"}, false, ""},
		{[]string{"no-such-program"}, false, ""},
		{[]string{"/"}, false, ""},
		{[]string{""}, false, ""},
		{[]string{busy}, false, "temporary child error"}, // open for writing: text busy
		{[]string{"grep", "-q", "^Subject: x$"}, true, ""},
		{[]string{"sh", "-c", `test "$X" = y && test -z "$GOMAXPROCS"`}, true, ""},
		{[]string{"./message"}, false, ""}, // in the working directory, but no program
	} {
		yes, err := Ask(process(t), c.args)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if yes != c.yes || text != c.err {
			t.Errorf("%q: %v, %q, want %v, %q", c.args, yes, text, c.yes, c.err)
		}
	}
}
