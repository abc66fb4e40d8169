package main

import (
	"os"
	"path/filepath"
	"testing"

	"quail/internal/prog"
)

const testdata = "../../testdata/tcprules/"

func TestCompile(t *testing.T) {
	dir := t.TempDir()
	status, stdout, stderr := do(t, dir, contents(t, testdata+"rules"), "rules.cdb", "rules.tmp")
	if status != 0 || stdout+stderr != "" {
		t.Fatalf("status %d, %q, want silent success", status, stdout+stderr)
	}
	if contents(t, filepath.Join(dir, "rules.cdb")) != contents(t, testdata+"rules.cdb") {
		t.Error("rules.cdb differs from the one that C makes")
	}
	if _, err := os.Stat(filepath.Join(dir, "rules.tmp")); err == nil {
		t.Error("the temporary file is still there")
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		rules, cdb, tmp string
		status          int
		stderr          string
	}{
		{"1:allow\n1.2:allowx \n", "old", "tmp", 100, "tcprules: fatal: unable to parse this line: 1.2:allowx\n"},
		{"", "old", "absent/tmp", 111, "tcprules: fatal: unable to create absent/tmp: file does not exist\n"},
		{"", "absent/cdb", "tmp", 111, "tcprules: fatal: unable to move tmp to absent/cdb: file does not exist\n"},
		{":allow\n", "old", "/dev/full", 111, "tcprules: fatal: unable to create /dev/full: file already exists\n"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "old"), []byte("as it was"), 0o600); err != nil {
			t.Fatal(err)
		}
		status, _, stderr := do(t, dir, c.rules, c.cdb, c.tmp)
		if status != c.status || stderr != c.stderr {
			t.Errorf("tcprules %s %s with %q: status %d, %q, want %d, %q", c.cdb, c.tmp, c.rules, status, stderr, c.status, c.stderr)
		}
		if got := contents(t, filepath.Join(dir, "old")); got != "as it was" {
			t.Errorf("tcprules %s %s failed and left %q", c.cdb, c.tmp, got)
		}
	}
	for _, args := range [][]string{nil, {"rules.cdb"}} {
		status, _, stderr := do(t, t.TempDir(), "", args...)
		if want := "tcprules: usage: tcprules rules.cdb rules.tmp\n"; status != 100 || stderr != want {
			t.Errorf("tcprules %q: status %d, %q, want 100, %q", args, status, stderr, want)
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
	p := &prog.Process{Name: "tcprules", Args: args, Dir: dir, Stdin: files[0], Stdout: files[1], Stderr: files[2]}
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
