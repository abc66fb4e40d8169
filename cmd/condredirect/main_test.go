package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"quail/internal/conf"
	"quail/internal/prog"
)

func TestRun(t *testing.T) {
	const usage = `condredirect: usage: condredirect newaddress program \[ arg ... \]` + "\n"
	dir := t.TempDir()
	conf.Home = dir
	message, queue := filepath.Join(dir, "message"), filepath.Join(dir, "queue")
	if err := os.WriteFile(message, []byte("A: b\n\nhi\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\ncat >" + dir + "/text; cat <&1 >" + dir + "/envelope\n"
	if err := os.WriteFile(queue, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	env := prog.Env{"PATH=/usr/bin:/bin", "QMAILQUEUE=" + queue, "SENDER=s@x", "NEWSENDER=n@x", "DTLINE=Delivered-To: y\n"}
	for _, c := range []struct {
		env    prog.Env
		args   []string
		status int
		stderr string // regular expression
		sent   string
	}{
		{env, []string{"new@x", "true"}, 99, "condredirect: qp [0-9]+\n", "Fs@x\x00Tnew@x\x00\x00"},
		// The program has read the message, or some of it: it is sent whole.
		{env, []string{"new@x", "grep", "-q", "^A"}, 99, "condredirect: qp [0-9]+\n", "Fs@x\x00Tnew@x\x00\x00"},
		{env, []string{"-n", "true"}, 99, "condredirect: qp [0-9]+\n", "Fs@x\x00T-n\x00\x00"},
		{env, []string{"new@x", "false"}, 0, "", ""},
		{env, []string{"new@x", "sh", "-c", "exit 100"}, 0, "", ""},
		{env, []string{"new@x", "/nonexistent"}, 0, "", ""},
		{env, []string{"new@x", "sh", "-c", "exit 111"}, 111, "condredirect: fatal: temporary child error\n", ""},
		{env, []string{"new@x", "sh", "-c", "kill -9 $$"}, 111, "condredirect: fatal: child crashed\n", ""},
		{env.With("QMAILQUEUE", "/nonexistent"), []string{"new@x", "true"}, 111, `condredirect: fatal: unable to exec qq \(#4.3.0\)` + "\n", ""},
		{env.Without("SENDER"), []string{"new@x", "true"}, 100, "condredirect: fatal: SENDER not set\n", ""},
		{env.Without("DTLINE"), []string{"new@x", "true"}, 100, "condredirect: fatal: DTLINE not set\n", ""},
		{env.Without("SENDER"), []string{"new@x"}, 100, usage, ""},
		{env, nil, 100, usage, ""},
	} {
		os.Remove(dir + "/envelope")
		stdin, err := os.Open(message)
		if err != nil {
			t.Fatal(err)
		}
		stderr, err := os.Create(filepath.Join(dir, "stderr"))
		if err != nil {
			t.Fatal(err)
		}
		p := &prog.Process{Name: "condredirect", Args: c.args, Env: c.env, Dir: dir, Stdin: stdin, Stdout: stderr, Stderr: stderr}
		status := p.Do(run)
		stdin.Close()
		stderr.Close()
		said, _ := os.ReadFile(stderr.Name())
		sent, _ := os.ReadFile(dir + "/envelope")
		if status != c.status || string(sent) != c.sent || !regexp.MustCompile("^"+c.stderr+"$").Match(said) {
			t.Errorf("%q: %d, %q, sent %q, want %d, %s, %q", c.args, status, said, sent, c.status, c.stderr, c.sent)
		}
		if text, _ := os.ReadFile(dir + "/text"); c.sent != "" && string(text) != "Delivered-To: y\nA: b\n\nhi\n" {
			t.Errorf("%q: sent %q", c.args, text)
		}
	}
}
