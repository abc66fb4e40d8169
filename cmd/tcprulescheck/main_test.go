package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quail/internal/cdbfile"
	"quail/internal/prog"
	"quail/internal/tcprules"
)

const testdata = "../../testdata/tcprules/"

// What is expected here is what the C program prints for the same database.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		env  prog.Env
		want string
	}{
		{nil, "rule :\nset environment variable REST=all others\nallow connection\n"}, // 0.0.0.0
		{prog.Env{"TCPREMOTEIP=127.0.0.1"}, "rule 127.:\nset environment variable RELAYCLIENT=\nallow connection\n"},
		{prog.Env{"TCPREMOTEIP=10.0.0.9"}, "rule 10.0.0.9:\ndeny connection\n"},
		{prog.Env{"TCPREMOTEIP=1.2.3.4"}, "rule 1.2.3.4:\nallow connection\n"},
		{prog.Env{"TCPREMOTEHOST="}, "rule =:\nset environment variable NAMED=\nallow connection\n"},
		{prog.Env{"TCPREMOTEHOST=mx.example.com"}, "rule =mx.example.com:\ndeny connection\n"}, // and no WHY
		{prog.Env{"TCPREMOTEHOST=MX.example.com"}, "rule =.example.com:\nset environment variable SUFFIX=yes\nallow connection\n"},
		{prog.Env{"TCPREMOTEHOST=mx.example.com", "TCPREMOTEINFO=joe"}, "rule joe@=mx.example.com:\n" +
			"set environment variable A=1\nset environment variable B=two\nset environment variable =\n" +
			"set environment variable C=3\nallow connection\n"},
		{prog.Env{"TCPREMOTEINFO=", "TCPREMOTEIP=127.0.0.2"}, "rule @127.0.0.2:\ndeny connection\n"},
	} {
		status, stdout, stderr := do(t, testdata, "", c.env, "rules.cdb")
		if status != 0 || stdout != c.want || stderr != "" {
			t.Errorf("%q: status %d, %q, %q, want %q", c.env, status, stdout, stderr, c.want)
		}
	}
	if _, stdout, _ := do(t, "../../testdata/cdb", "", nil, "empty.cdb"); stdout != "default:\nallow connection\n" {
		t.Errorf("without rules: %q", stdout)
	}
}

// Networks and IPv6, which the C program does not know.
func TestNetworks(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cdb")
	draft, err := cdbfile.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for record, err := range tcprules.Rules(strings.NewReader("10.0.0.0/9:allow,RELAYCLIENT=\"\"\n10.1.:deny\n2001:db8::/32:deny\n::1:allow\n")) {
		if err != nil || draft.Add(record) != nil {
			t.Fatal(err)
		}
	}
	if err := draft.Finish(); err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]string{
		"10.2.3.4":        "rule 10.0.0.0/9:\nset environment variable RELAYCLIENT=\nallow connection\n",
		"::ffff:10.1.2.3": "rule 10.1.:\ndeny connection\n",
		"2001:DB8:0::7":   "rule 2001:db8::/32:\ndeny connection\n",
		"0:0::1":          "rule ::1:\nallow connection\n",
		"10.128.0.1":      "default:\nallow connection\n",
	} {
		status, stdout, stderr := do(t, "/", "", prog.Env{"TCPREMOTEIP=" + ip}, name)
		if status != 0 || stdout != want || stderr != "" {
			t.Errorf("%s: status %d, %q, %q, want %q", ip, status, stdout, stderr, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		stderr string
	}{
		{nil, 100, "tcprulescheck: usage: tcprulescheck rules.cdb\n"},
		{[]string{"absent"}, 111, "tcprulescheck: fatal: unable to read absent: file does not exist\n"},
		{[]string{"rules"}, 111, "tcprulescheck: fatal: unable to read rules: not a valid constant database\n"},
	} {
		status, stdout, stderr := do(t, testdata, "", nil, c.args...)
		if status != c.status || stdout != "" || stderr != c.stderr {
			t.Errorf("tcprulescheck %q: status %d, %q, %q, want %d, %q", c.args, status, stdout, stderr, c.status, c.stderr)
		}
	}
}

// do runs the program in dir and returns its status and what it said.
func do(t *testing.T, dir, stdin string, env prog.Env, args ...string) (status int, stdout, stderr string) {
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
	p := &prog.Process{Name: "tcprulescheck", Args: args, Env: env, Dir: dir, Stdin: files[0], Stdout: files[1], Stderr: files[2]}
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
