package forward

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"quail/internal/conf"
	"quail/internal/prog"
)

// home makes a home whose qmail-queue keeps what it is given and exits as told.
func home(t *testing.T, status string) string {
	t.Helper()
	conf.Home = t.TempDir()
	if err := os.Mkdir(conf.Home+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\ncat >message; cat <&1 >envelope; exit " + status + "\n"
	if err := os.WriteFile(conf.Home+"/bin/qmail-queue", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return conf.Home
}

// send runs Send on an open file and returns its status and complaints.
func send(t *testing.T, stdin string, offset int64, to ...string) (status int, stderr string) {
	t.Helper()
	in, err := os.Open(stdin)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	in.Seek(offset, 0)
	out, err := os.Create(filepath.Join(t.TempDir(), "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &prog.Process{Name: "forward", Env: prog.Env{"PATH=/usr/bin:/bin"}, Stdin: in, Stderr: out}
	status = p.Do(func(p *prog.Process) error { return Send(p, "Delivered-To: x\n", "s@x", to) })
	text, _ := os.ReadFile(out.Name())
	return status, string(text)
}

func TestSend(t *testing.T) {
	message := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(message, []byte("A: b\n\nFrom x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		queue  string
		offset int64
		to     []string
		status int
		stderr string // regular expression
		text   string
		list   string
	}{
		{"0", 0, []string{"a@b", "", "-c"}, 0, "forward: qp [0-9]+\n", "Delivered-To: x\nA: b\n\nFrom x", "Fs@x\x00Ta@b\x00T\x00T-c\x00\x00"},
		{"0", 6, nil, 0, "forward: qp [0-9]+\n", "Delivered-To: x\nFrom x", "Fs@x\x00\x00"},
		{"31", 0, []string{"a"}, 100, `forward: fatal: mail server permanently rejected message \(#5.3.0\)` + "\n", "Delivered-To: x\nA: b\n\nFrom x", "Fs@x\x00Ta\x00\x00"},
		{"53", 0, []string{"a"}, 111, `forward: fatal: qq write error or disk full \(#4.3.0\)` + "\n", "Delivered-To: x\nA: b\n\nFrom x", "Fs@x\x00Ta\x00\x00"},
	} {
		h := home(t, c.queue)
		status, stderr := send(t, message, c.offset, c.to...)
		text, _ := os.ReadFile(h + "/message")
		list, _ := os.ReadFile(h + "/envelope")
		if status != c.status || !regexp.MustCompile("^"+c.stderr+"$").MatchString(stderr) {
			t.Errorf("queue exits %s: %d, %q, want %d, %s", c.queue, status, stderr, c.status, c.stderr)
		}
		if string(text) != c.text || string(list) != c.list {
			t.Errorf("queue exits %s: got %q and %q, want %q and %q", c.queue, text, list, c.text, c.list)
		}
	}
}

// What cannot be read is not queued in part.
func TestUnreadable(t *testing.T) {
	h := home(t, "0")
	status, stderr := send(t, t.TempDir(), 0, "a@b")
	if want := "forward: fatal: unable to read message: is a directory\n"; status != 111 || stderr != want {
		t.Errorf("%d, %q, want 111, %q", status, stderr, want)
	}
	if list, _ := os.ReadFile(h + "/envelope"); len(list) > 1 && string(list[len(list)-2:]) == "\x00\x00" {
		t.Errorf("complete envelope %q", list)
	}
}
