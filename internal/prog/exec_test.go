package prog

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary be a program that becomes another one, or one whose
// output nobody reads.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "placer":
		Main("placer", placer, Reserve(10))
	case "unheard":
		Main("unheard", unheard)
	}
	os.Exit(m.Run())
}

// placer becomes its arguments, with pipes that say their numbers as descriptors 9, 3
// and 0, and with what $PROGRAM names as the program.
func placer(p *Process) error {
	files := map[int]*os.File{}
	for _, at := range []int{9, 3, 0} {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "this is %d\n", at)
		w.Close()
		files[at] = r
	}
	b := &Become{Args: p.Args, Env: p.Env, Program: p.Env.Get("PROGRAM"), Files: files, Quiet: p.Args[0] == "hush"}
	if path, ok := p.Env.Lookup("SEARCH"); ok {
		b.Search = Env{"PATH=" + path}
	}
	return b
}

func TestBecome(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args         []string
		program      string
		stdout, says string
		env          []string
	}{
		{args: []string{"sh", "-c", "cat <&9 - <&3; cat"}, stdout: "this is 3\nthis is 0\n"},
		{args: []string{"sh", "-c", "cat <&9; cat <&3; cat"}, stdout: "this is 9\nthis is 3\nthis is 0\n"},
		{args: []string{"sh", "-c", "for n in 4 5 6 7 8; do (exec <&$n) 2>/dev/null && echo $n; done"}},
		{args: []string{"-sh", "-c", `echo "$0"`}, program: "sh", stdout: "-sh\n"},
		{args: []string{"sh"}, program: "/nosuch", says: "placer: fatal: unable to run /nosuch: file does not exist\n"},
		{args: []string{"sh", "-c", "echo $PATH"}, env: []string{"SEARCH=/nosuch"}, says: "placer: fatal: unable to run sh: file does not exist\n"},
		{args: []string{"sh", "-c", "echo $PATH"}, env: []string{"SEARCH=/bin", "PATH=/nosuch"}, stdout: "/nosuch\n"},
		{args: []string{"hush"}},
		{args: []string{"nosuch"}, says: "placer: fatal: unable to run nosuch: file does not exist\n"},
	} {
		var out, says strings.Builder
		cmd := exec.Cmd{Path: self, Args: append([]string{"placer"}, c.args...), Stdout: &out, Stderr: &says,
			Env: append([]string{"PATH=/usr/bin:/bin", "PROGRAM=" + c.program}, c.env...)}
		cmd.Run()
		if out.String() != c.stdout || says.String() != c.says {
			t.Errorf("%q as %q: wrote %q and said %q, want %q and %q", c.program, c.args, out.String(), says.String(), c.stdout, c.says)
		}
	}
}

// The descriptors of a program that was called with 0 and 1 closed stay apart from
// those of the program that it becomes.
func TestBecomeWithoutStandard(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "placer")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `exec "$0" sh -c 'cat <&9 >&2; cat <&3 >&2; cat >&2' <&- >&-`, link)
	pipe, err := cmd.StderrPipe()
	if err != nil || cmd.Start() != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(pipe)
	cmd.Wait()
	if got := string(said); got != "this is 9\nthis is 3\nthis is 0\n" {
		t.Errorf("got %q", got)
	}
}
