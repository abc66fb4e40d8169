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

const testdata = "../../testdata/users/"

// newHome makes a home with users/assign.
func newHome(t *testing.T, assign string) (users string) {
	t.Helper()
	conf.Home = t.TempDir()
	users = filepath.Join(conf.Home, "users")
	if err := os.Mkdir(users, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(users, "assign"), []byte(assign), 0o644); err != nil {
		t.Fatal(err)
	}
	return users
}

func TestCompile(t *testing.T) {
	users := newHome(t, contents(t, testdata+"assign"))
	for range 2 { // the second replaces the first
		if status, stdout, stderr := do(t, "/", ""); status != 0 || stdout+stderr != "" {
			t.Fatalf("status %d, %q, want silent success", status, stdout+stderr)
		}
	}
	if contents(t, filepath.Join(users, "cdb")) != contents(t, testdata+"cdb") {
		t.Error("users/cdb differs from the one that C makes")
	}
	if _, err := os.Stat(filepath.Join(users, "cdb.tmp")); err == nil {
		t.Error("users/cdb.tmp is still there")
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		what string
		ruin func(users string) error
		want string
	}{
		{"no home", func(string) error { return os.RemoveAll(conf.Home) }, "unable to chdir"},
		{"no assign", func(users string) error { return os.Remove(users + "/assign") }, "unable to open users/assign"},
		{"assign is a directory", func(users string) error {
			os.Remove(users + "/assign")
			return os.Mkdir(users+"/assign", 0o755)
		}, "unable to read users/assign"},
		{"bad line", func(users string) error {
			return os.WriteFile(users+"/assign", []byte("=joe:joe\n.\n"), 0o644)
		}, "bad format in users/assign"},
		{"cdb.tmp is a directory", func(users string) error { return os.Mkdir(users+"/cdb.tmp", 0o755) }, "unable to open users/cdb.tmp"},
		{"full disk", func(users string) error {
			return os.WriteFile(users+"/assign", []byte(strings.Repeat("=joe:joe:1:1:/h:::\n", 5000)+".\n"), 0o644)
		}, "unable to write users/cdb.tmp"},
		{"cdb is a directory", func(users string) error {
			os.Remove(users + "/cdb")
			return os.Mkdir(users+"/cdb", 0o755)
		}, "unable to move users/cdb.tmp to users/cdb"},
	} {
		users := newHome(t, ".\n")
		if err := os.WriteFile(users+"/cdb", []byte("as it was"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := c.ruin(users); err != nil {
			t.Fatal(err)
		}
		empty := fill(t)
		status, _, stderr := do(t, "/", "")
		empty()
		if status != 111 || stderr != "qmail-newu: fatal: "+c.want+"\n" {
			t.Errorf("%s: status %d, %q, want 111, %q", c.what, status, stderr, c.want)
		}
		if b, err := os.ReadFile(users + "/cdb"); err == nil && string(b) != "as it was" {
			t.Errorf("%s: users/cdb was changed", c.what)
		}
	}
}

// do runs the program in dir and returns its status and what it said.
func do(t *testing.T, dir, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	scratch := t.TempDir()
	if err := os.WriteFile(filepath.Join(scratch, "in"), []byte(stdin), 0o600); err != nil {
		t.Fatal(err)
	}
	var files [3]*os.File
	for i, name := range []string{"in", "out", "err"} {
		f, err := os.OpenFile(filepath.Join(scratch, name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	p := &prog.Process{Name: "qmail-newu", Args: args, Dir: dir, Stdin: files[0], Stdout: files[1], Stderr: files[2]}
	status = p.Do(run)
	return status, contents(t, files[1].Name()), contents(t, files[2].Name())
}

func contents(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
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
