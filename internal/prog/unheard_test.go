package prog

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// struck is a shell that a signal of a broken pipe ends, unless it was told to ignore it.
var struck = []string{"sh", "-c", "kill -PIPE $$; exit 0"}

// unheard writes into $TOLD what became of its writing, and of a child, and becomes
// another program.
func unheard(p *Process) error {
	told := ""
	for _, f := range []*os.File{p.Stdout, p.Stderr} {
		_, err := f.WriteString("is there anybody?")
		told += fmt.Sprintf("%v, ", errors.Is(err, syscall.EPIPE))
	}
	told += fmt.Sprint(exec.Command(struck[0], struck[1:]...).Run())
	if err := os.WriteFile(p.Env.Get("TOLD"), []byte(told), 0o600); err != nil {
		return err
	}
	return &Become{Args: struck, Env: p.Env}
}

// Output that nobody reads is an error to us, and the end of programs that we start or
// become, as they expect it. So it is, too, if we were started with that signal ignored.
func TestUnheard(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, before := range []string{"", "trap '' PIPE; "} {
		told := filepath.Join(t.TempDir(), "told")
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd := exec.Command("sh", "-c", before+`exec "$0"`, filepath.Join(t.TempDir(), "unheard"))
		if err := os.Symlink(self, cmd.Args[3]); err != nil {
			t.Fatal(err)
		}
		cmd.Env, cmd.Stdout, cmd.Stderr = []string{"PATH=/usr/bin:/bin", "TOLD=" + told}, w, w
		err = cmd.Run()
		w.Close()
		if got, want := fmt.Sprint(err), "signal: broken pipe"; got != want {
			t.Errorf("%q: what it became ends with %q, want %q", before, got, want)
		}
		b, _ := os.ReadFile(told)
		if got, want := string(b), "true, true, signal: broken pipe"; got != want {
			t.Errorf("%q: %q, want %q", before, got, want)
		}
	}
}
