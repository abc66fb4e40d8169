package proc

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quail/internal/prog"
)

// output runs c and returns what it wrote.
func output(t *testing.T, c Command) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stdout = w
	child, err := c.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := child.Wait(); err != nil || !status.OK() {
		t.Fatalf("status %v, error %v", status, err)
	}
	return string(b)
}

func TestSearch(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for dir, says := range map[string]string{a: "a", b: "b"} {
		if err := os.WriteFile(filepath.Join(dir, "say"), []byte("#!/bin/sh\necho "+says+" $PATH\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	noX := t.TempDir() // not executable: the search goes on
	if err := os.WriteFile(filepath.Join(noX, "say"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		env, search prog.Env
		want        string
	}{
		{"the child's own PATH", prog.Env{"PATH=/nosuch:" + noX + ":" + a + ":" + b}, nil, "a /nosuch:" + noX + ":" + a + ":" + b + "\n"},
		{"another PATH", prog.Env{"PATH=" + a}, prog.Env{"PATH=" + b}, "b " + a + "\n"},
	} {
		if got := output(t, Command{Args: []string{"say"}, Env: c.env, Search: c.search, Dir: "/"}); got != c.want {
			t.Errorf("%s: ran %q, want %q", c.name, got, c.want)
		}
	}
	_, err := Command{Args: []string{"say"}, Env: prog.Env{"PATH=/nosuch:/nowhere"}, Dir: "/"}.Start()
	if !errors.Is(err, syscall.ENOENT) {
		t.Errorf("program that is nowhere: %v, want ENOENT", err)
	}
	_, err = Command{Args: []string{"say"}, Env: prog.Env{"PATH=" + noX + ":/nowhere"}, Dir: "/"}.Start()
	if !errors.Is(err, syscall.EACCES) || !strings.Contains(err.Error(), noX) { // it once was that /nowhere/say does not exist
		t.Errorf("program that is not executable: %v, want EACCES of %s", err, noX)
	}
}
