package main

import (
	"os"
	"testing"

	"quail/internal/prog"
)

func TestRun(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"no way"}, 100, "no way\n"},
		{[]string{""}, 100, "\n"},
		{[]string{"-x"}, 100, "-x\n"},
		{[]string{"no way", "true"}, 100, "no way\n"},
		{[]string{"no way", "false"}, 0, ""},
		{[]string{"no way", "sh", "-c", "exit 100"}, 0, ""},
		{[]string{"no way", "sh", "-c", "exit 111"}, 111, "bouncesaying: fatal: temporary child error\n"},
		{[]string{"no way", "sh", "-c", "kill -9 $$"}, 111, "bouncesaying: fatal: child crashed\n"},
		{[]string{"no way", "/nonexistent"}, 0, ""},
		{nil, 100, "bouncesaying: usage: bouncesaying error [ program [ arg ... ] ]\n"},
	} {
		stderr, err := os.Create(t.TempDir() + "/stderr")
		if err != nil {
			t.Fatal(err)
		}
		defer stderr.Close()
		p := &prog.Process{Name: "bouncesaying", Args: c.args, Env: prog.Env{"PATH=/usr/bin:/bin"}, Dir: "/", Stderr: stderr}
		status := p.Do(run)
		if said, _ := os.ReadFile(stderr.Name()); status != c.status || string(said) != c.stderr {
			t.Errorf("%q: %d, %q, want %d, %q", c.args, status, said, c.status, c.stderr)
		}
	}
}
