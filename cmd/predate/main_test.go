package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"quail/internal/prog"
)

func TestRun(t *testing.T) {
	for _, c := range []struct {
		tz     string
		args   []string
		status int
		stdout string
		stderr string
	}{
		{"CET-1CEST,M3.5.0,M10.5.0/3", []string{"cat"}, 0, "Date: 5 Jan 2026 05:46:54 +0100\nSubject: x\n", ""},
		{"EST5", []string{"cat", "-"}, 0, "Date: 4 Jan 2026 23:46:54 -0500\nSubject: x\n", ""},
		{"UTC0", []string{"cat"}, 0, "Date: 5 Jan 2026 04:46:54 +0000\nSubject: x\n", ""},
		{"UTC0", []string{"sh", "-c", "exit 7"}, 7, "", ""},
		{"UTC0", []string{"sh", "-c", "kill -9 $$"}, 111, "", "predate: fatal: child crashed\n"},
		{"UTC0", []string{"/nonexistent"}, 111, "", "predate: fatal: unable to run /nonexistent: file does not exist\n"},
		{"UTC0", []string{"-x", "cat"}, 111, "", "predate: fatal: unable to run -x: file does not exist\n"},
		{"UTC0", nil, 100, "", "predate: usage: predate child\n"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/in", []byte("Subject: x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var files [3]*os.File
		for i, name := range []string{"in", "out", "err"} {
			f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			files[i] = f
		}
		p := &prog.Process{Name: "predate", Args: c.args, Env: prog.Env{"PATH=/usr/bin:/bin", "TZ=" + c.tz}, Dir: dir,
			Stdin: files[0], Stdout: files[1], Stderr: files[2],
			Now: func() time.Time { return time.Date(2026, 1, 5, 4, 46, 54, 0, time.UTC) }}
		status := p.Do(run)
		stdout, _ := os.ReadFile(dir + "/out")
		stderr, _ := os.ReadFile(dir + "/err")
		if status != c.status || string(stdout) != c.stdout || string(stderr) != c.stderr {
			t.Errorf("TZ=%s %q: %d, %q, %q, want %d, %q, %q", c.tz, c.args, status, stdout, stderr, c.status, c.stdout, c.stderr)
		}
	}
}
