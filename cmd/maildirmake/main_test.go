package main

import (
	"os"
	"path/filepath"
	"testing"

	"quail/internal/prog"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"new"}, 0, ""},
		{[]string{"new"}, 111, "maildirmake: fatal: unable to mkdir new: file already exists\n"},
		{[]string{"-x", "ignored"}, 0, ""},
		{[]string{"a/b"}, 111, "maildirmake: fatal: unable to mkdir a/b: file does not exist\n"},
		{[]string{"file"}, 111, "maildirmake: fatal: unable to mkdir file: file already exists\n"},
		{[]string{"file/x"}, 111, "maildirmake: fatal: unable to mkdir file/x: not a directory\n"},
		{[]string{dir + "/absolute"}, 0, ""},
		{nil, 100, "maildirmake: usage: maildirmake name\n"},
	} {
		stderr, err := os.Create(t.TempDir() + "/stderr")
		if err != nil {
			t.Fatal(err)
		}
		defer stderr.Close()
		p := &prog.Process{Name: "maildirmake", Args: c.args, Dir: dir, Stderr: stderr}
		status := p.Do(run)
		if said, _ := os.ReadFile(stderr.Name()); status != c.status || string(said) != c.stderr {
			t.Errorf("%q: %d, %q, want %d, %q", c.args, status, said, c.status, c.stderr)
		}
	}
	for _, name := range []string{"new", "new/tmp", "new/new", "new/cur", "-x/cur", "absolute/cur"} {
		if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.Mode() != os.ModeDir|0o700 {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
	}
}
