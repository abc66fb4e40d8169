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
		{[]string{"true"}, 100, ""},
		{[]string{"false"}, 0, ""},
		{[]string{"sh", "-c", "exit 100"}, 0, ""},
		{[]string{"sh", "-c", "exit 111"}, 111, "except: fatal: temporary child error\n"},
		{[]string{"sh", "-c", "kill -9 $$"}, 111, "except: fatal: child crashed\n"},
		{[]string{"/nonexistent"}, 0, ""},
		{[]string{"--", "true"}, 0, ""}, // there are no options, so that is a program
		{nil, 100, "except: usage: except program [ arg ... ]\n"},
	} {
		stderr, err := os.Create(t.TempDir() + "/stderr")
		if err != nil {
			t.Fatal(err)
		}
		defer stderr.Close()
		p := &prog.Process{Name: "except", Args: c.args, Env: prog.Env{"PATH=/usr/bin:/bin"}, Dir: "/", Stderr: stderr}
		status := p.Do(run)
		if said, _ := os.ReadFile(stderr.Name()); status != c.status || string(said) != c.stderr {
			t.Errorf("%q: %d, %q, want %d, %q", c.args, status, said, c.status, c.stderr)
		}
	}
}
