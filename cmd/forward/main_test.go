package main

import (
	"os"
	"testing"

	"quail/internal/prog"
)

func TestVariables(t *testing.T) {
	for _, c := range []struct {
		env  prog.Env
		want string
	}{
		{prog.Env{}, "forward: fatal: NEWSENDER not set\n"},
		{prog.Env{"SENDER=s", "DTLINE=x"}, "forward: fatal: NEWSENDER not set\n"},
		{prog.Env{"NEWSENDER=s"}, "forward: fatal: DTLINE not set\n"},
	} {
		stderr, err := os.Create(t.TempDir() + "/stderr")
		if err != nil {
			t.Fatal(err)
		}
		defer stderr.Close()
		p := &prog.Process{Name: "forward", Args: []string{"a@b"}, Env: c.env, Stderr: stderr}
		status := p.Do(run)
		if said, _ := os.ReadFile(stderr.Name()); status != 100 || string(said) != c.want {
			t.Errorf("%q: %d, %q, want 100, %q", c.env, status, said, c.want)
		}
	}
}
