package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quail/internal/conf"
	"quail/internal/prog"
)

const testdata = "../../testdata/rcpthosts/"

// newHome makes a home with control/morercpthosts.
func newHome(t *testing.T, text string) (control string) {
	t.Helper()
	conf.Home = t.TempDir()
	control = filepath.Join(conf.Home, "control")
	if err := os.Mkdir(control, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(control+"/morercpthosts", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return control
}

// do runs the program and returns its status and what it said.
func do(t *testing.T) (status int, said string) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	status = (&prog.Process{Name: "qmail-newmrh", Dir: "/", Stdout: out, Stderr: out}).Do(run)
	return status, contents(t, out.Name())
}

func contents(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCompile(t *testing.T) {
	control := newHome(t, contents(t, testdata+"morercpthosts"))
	for range 2 { // the second replaces the first
		if status, said := do(t); status != 0 || said != "" {
			t.Fatalf("status %d, %q, want silent success", status, said)
		}
	}
	if contents(t, control+"/morercpthosts.cdb") != contents(t, testdata+"morercpthosts.cdb") {
		t.Error("morercpthosts.cdb differs from the one that C makes")
	}
	if _, err := os.Stat(control + "/morercpthosts.tmp"); err == nil {
		t.Error("morercpthosts.tmp is still there")
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		what string
		ruin func(control string) error
		want string
	}{
		{"no list", func(control string) error { return os.Remove(control + "/morercpthosts") },
			"unable to read control/morercpthosts: file does not exist"},
		{"list is a directory", func(control string) error {
			os.Remove(control + "/morercpthosts")
			return os.Mkdir(control+"/morercpthosts", 0o755)
		}, "unable to read control/morercpthosts: is a directory"},
		{"draft is a directory", func(control string) error { return os.Mkdir(control+"/morercpthosts.tmp", 0o755) },
			"unable to write to control/morercpthosts.tmp: is a directory"},
		{"full disk", func(control string) error {
			return os.WriteFile(control+"/morercpthosts", []byte(strings.Repeat("example.org\n", 5000)), 0o644)
		}, "unable to write to control/morercpthosts.tmp: file too big"},
		{"database is a directory", func(control string) error {
			os.Remove(control + "/morercpthosts.cdb")
			return os.Mkdir(control+"/morercpthosts.cdb", 0o755)
		}, "unable to move control/morercpthosts.tmp to control/morercpthosts.cdb: file already exists"},
	} {
		control := newHome(t, "example.org\n")
		if err := os.WriteFile(control+"/morercpthosts.cdb", []byte("as it was"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := c.ruin(control); err != nil {
			t.Fatal(err)
		}
		empty := fill(t)
		status, said := do(t)
		empty()
		if status != 111 || said != "qmail-newmrh: fatal: "+c.want+"\n" {
			t.Errorf("%s: status %d, %q, want 111, %q", c.what, status, said, c.want)
		}
		if b, err := os.ReadFile(control + "/morercpthosts.cdb"); err == nil && string(b) != "as it was" {
			t.Errorf("%s: morercpthosts.cdb was changed", c.what)
		}
	}
	conf.Home = filepath.Join(t.TempDir(), "absent")
	if status, said := do(t); status != 111 || said != "qmail-newmrh: fatal: unable to chdir to "+conf.Home+": file does not exist\n" {
		t.Errorf("no home: %d, %q", status, said)
	}
}

// fill makes every disk full for files of more than 64 KB, until the returned
// function is called.
func fill(t *testing.T) (empty func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	full := old
	full.Cur = 64 << 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	return func() { syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old) }
}
