package envdir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"quail/internal/prog"
)

// envdir runs the program on a directory and returns the environment that the next one
// has, or what it says instead.
func envdir(t *testing.T, dir string, env prog.Env) (prog.Env, string) {
	t.Helper()
	err := Run(&prog.Process{Name: "envdir", Args: []string{dir, "next", "arg"}, Env: env, Dir: "/"})
	var become *prog.Become
	if !errors.As(err, &become) {
		return nil, err.Error()
	}
	if !slices.Equal(become.Args, []string{"next", "arg"}) || !slices.Equal(become.Search, env) || become.Dir != "" {
		t.Errorf("envdir becomes %+v", become)
	}
	return become.Env, ""
}

func TestVariables(t *testing.T) {
	before := prog.Env{"A=1", "B=2", "PATH=/bin", "A=3"}
	for _, c := range []struct {
		name, text string
		want       prog.Env
	}{
		{"N", "x", prog.Env{"A=1", "B=2", "PATH=/bin", "A=3", "N=x"}},
		{"A", "x", prog.Env{"B=2", "PATH=/bin", "A=x"}},
		{"A", "", prog.Env{"B=2", "PATH=/bin"}},
		{"N", "", before},
		{"B", "\nx", prog.Env{"A=1", "PATH=/bin", "A=3", "B="}},
		{"B", " \t \t\n", prog.Env{"A=1", "PATH=/bin", "A=3", "B="}},
		{"B", " x \t\ny\n", prog.Env{"A=1", "PATH=/bin", "A=3", "B= x"}},
		{"B", "x\r\n", prog.Env{"A=1", "PATH=/bin", "A=3", "B=x\r"}},
		{"B", "x\x00y \x00\n", prog.Env{"A=1", "PATH=/bin", "A=3", "B=x\ny \n"}},
		{"B", strings.Repeat("x", 1<<20), prog.Env{"A=1", "PATH=/bin", "A=3", "B=" + strings.Repeat("x", 1<<20)}},
		{"PATH", "/new", prog.Env{"A=1", "B=2", "A=3", "PATH=/new"}},
		{".A", "x", before},
		{"B=x", "y", prog.Env{"A=1", "PATH=/bin", "A=3", "B=x=y"}},
		{"B=x", "", prog.Env{"A=1", "PATH=/bin", "A=3", "B=x"}},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, c.name), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, says := envdir(t, dir, before); !slices.Equal(got, c.want) {
			t.Errorf("a file %q of %.20q makes %.200q (%s)", c.name, c.text, got, says)
		}
	}
}

// What is in a directory and no file.
func TestOthers(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "A"), []byte("kept out of B\n"), 0o600),
		os.Symlink("nosuch", filepath.Join(dir, "B")),
		os.Symlink("/dev/null", filepath.Join(dir, "C")),
		unix.Mkfifo(filepath.Join(dir, "D"), 0o600),
		os.Mkdir(filepath.Join(dir, ".git"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	got, says := envdir(t, dir, prog.Env{"B=1", "C=1", "D=1", "E=1"})
	if want := []string{"E=1", "A=kept out of B"}; !slices.Equal(got, want) {
		t.Errorf("the environment is %q (%s), want %q", got, says, want)
	}
	for name, want := range map[string]string{
		dir + "/absent":   "unable to switch to directory " + dir + "/absent: file does not exist",
		dir + "/A":        "unable to switch to directory " + dir + "/A: not a directory",
		filepath.Dir(dir): "unable to read " + filepath.Dir(dir) + "/" + filepath.Base(dir) + ": is a directory",
	} {
		if _, says := envdir(t, name, nil); says != want {
			t.Errorf("of %s it says %q, want %q", name, says, want)
		}
	}
}

// FuzzChange: a file sets or removes just the one variable that it is about, and what it
// sets is one string to exec.
func FuzzChange(f *testing.F) {
	f.Add("A", "x\n")
	f.Add("A=B", "")
	f.Add("N", " \x00 ")
	f.Fuzz(func(t *testing.T, name, text string) {
		if name == "" || strings.ContainsAny(name, "\x00/") {
			return // no name of a file
		}
		before := prog.Env{"A=1", "B=2", "OTHER=3", "A=4"}
		about, _, _ := strings.Cut(name, "=")
		var others prog.Env
		got := change(before, name, text)
		for _, setting := range got {
			if !strings.HasPrefix(setting, about+"=") {
				others = append(others, setting)
			}
			if strings.Contains(setting, "\x00") {
				t.Errorf("%q has a zero byte", setting)
			}
		}
		if !slices.Equal(others, before.Without(about)) || len(got) > len(others)+1 {
			t.Errorf("a file %q of %q makes %q", name, text, got)
		}
	})
}
