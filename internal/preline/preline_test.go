package preline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quail/internal/prog"
)

var lines = prog.Env{"PATH=/usr/bin:/bin", "UFLINE=From x\n", "RPLINE=Return-Path: <>\n", "DTLINE=Delivered-To: y\n"}

// do runs preline on a message and returns its status and what it printed.
func do(t *testing.T, env prog.Env, stdin *os.File, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	p := &prog.Process{Name: "preline", Args: args, Env: env, Dir: dir, Stdin: stdin}
	var err error
	if p.Stdout, err = os.Create(filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	defer p.Stdout.Close()
	if p.Stderr, err = os.Create(filepath.Join(dir, "err")); err != nil {
		t.Fatal(err)
	}
	defer p.Stderr.Close()
	status = p.Do(Run)
	out, _ := os.ReadFile(p.Stdout.Name())
	complaint, _ := os.ReadFile(p.Stderr.Name())
	return status, string(out), string(complaint)
}

func message(t *testing.T, text string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestRun(t *testing.T) {
	const usage = "preline: usage: preline cmd [ arg ... ]\n"
	for _, c := range []struct {
		env    prog.Env
		args   []string
		status int
		stdout string
		stderr string
	}{
		{lines, []string{"cat"}, 0, "From x\nReturn-Path: <>\nDelivered-To: y\nhi", ""},
		{lines, []string{"--", "cat"}, 0, "From x\nReturn-Path: <>\nDelivered-To: y\nhi", ""},
		{lines, []string{"-f", "cat"}, 0, "Return-Path: <>\nDelivered-To: y\nhi", ""},
		{lines, []string{"-rd", "cat"}, 0, "From x\nhi", ""},
		{lines, []string{"-frd", "-R", "cat", "-"}, 0, "Return-Path: <>\nhi", ""},
		{lines, []string{"-frdFD", "cat"}, 0, "From x\nDelivered-To: y\nhi", ""},
		{lines, []string{"sh", "-c", "exit 3"}, 3, "", ""},
		{lines, []string{"sh", "-c", "kill -9 $$"}, 111, "", "preline: fatal: child crashed\n"},
		{lines, []string{"/nonexistent"}, 100, "", "preline: fatal: unable to run /nonexistent: file does not exist\n"},
		{lines, []string{"/"}, 100, "", "preline: fatal: unable to run /: access denied\n"},
		{lines, nil, 100, "", usage},
		{lines, []string{"-f"}, 100, "", usage},
		{lines, []string{"-x", "cat"}, 100, "", "preline: illegal option -- x\n" + usage},
		{lines.Without("UFLINE"), []string{"-f", "cat"}, 100, "", usage},
		{lines.Without("RPLINE"), []string{"-r", "cat"}, 100, "", usage},
		{lines.Without("DTLINE"), []string{"-x", "cat"}, 100, "", usage},
	} {
		status, stdout, stderr := do(t, c.env, message(t, "hi"), c.args...)
		if status != c.status || stdout != c.stdout || stderr != c.stderr {
			t.Errorf("%q: %d, %q, %q, want %d, %q, %q", c.args, status, stdout, stderr, c.status, c.stdout, c.stderr)
		}
	}
}

// A program that does not read all of a message, however long, decides alone.
func TestUnread(t *testing.T) {
	long := strings.Repeat("line\n", 100000)
	for script, want := range map[string]int{"exec <&-; exit 0": 0, "head -c 5 >/dev/null; exit 99": 99} {
		if status, _, stderr := do(t, lines, message(t, long), "sh", "-c", script); status != want || stderr != "" {
			t.Errorf("%s: %d, %q, want %d", script, status, stderr, want)
		}
	}
}

func TestUnreadable(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	status, _, stderr := do(t, lines, dir, "cat")
	if want := "preline: fatal: unable to copy input: is a directory\n"; status != 111 || stderr != want {
		t.Errorf("%d, %q, want 111, %q", status, stderr, want)
	}
}

// The message is taken from where the descriptor stands, as from a pipe.
func TestOffset(t *testing.T) {
	m := message(t, "Subject: x\n\nhi\n")
	m.Seek(12, 0)
	if _, stdout, _ := do(t, lines, m, "-frd", "cat"); stdout != "hi\n" {
		t.Errorf("fed %q", stdout)
	}
}
