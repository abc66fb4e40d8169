package maildirwatch

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quail/internal/prog"
)

// newMaildir makes a Maildir with messages, each a second younger than the one before.
func newMaildir(t *testing.T, messages ...string) (dir string, now time.Time) {
	t.Helper()
	dir, now = t.TempDir(), time.Now().Add(time.Hour)
	for _, sub := range []string{"new", "cur", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i, text := range messages {
		name := filepath.Join(dir, "new", string(rune('z'-i)))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, now, now.Add(time.Duration(i-1000)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, now
}

// What is wanted is what the C program shows.
func TestPage(t *testing.T) {
	dir, now := newMaildir(t,
		"Return-Path: <joe@example.org>\nDelivered-To:\r\n x\nFrom: \"Joe\" <j@x>\nSubject: \r\n hello\n there\nTo: a\n\nbody one\nbody two\n",
		"FROM: \"Jo\x1b[2Je\" <j@x>\nSubject: a\ab\xff\n\nbody\n",
		"Return-Path: <jo\x1be>\nReply-To: rt@x\n\nbody\n",
		"no header",
		"",
		"Subject: "+strings.Repeat("x", 500)+"\n\n")
	for name, text := range map[string]string{"cur/a:2,S": "Subject: seen\n\n", "new/.hidden": "Subject: hidden\n\n", "tmp/x": "Subject: unfinished\n\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := "\x1b[;H\x1b[;J" +
		"FROM <joe@example.org> TO <x>\n\x1b[1mFrom: \"Joe\" <j@x>\x1b[0m\nhello/ there//body one/body two/\n\n" +
		"FROM ? TO <?>\n\x1b[1mFROM: \"Jo/[2Je\" <j@x>\x1b[0m\na/b///body/\n\n" +
		"FROM <jo?e> TO <?>\n/body/\n\n" +
		"FROM ? TO <?>\n/no header/\n\n" +
		"FROM ? TO <?>\n\n\n" +
		"FROM ? TO <?>\n" + strings.Repeat("x", 158) + "\n\n"
	var out strings.Builder
	w := bufio.NewWriter(&out)
	if err := page(w, dir, now); err != nil || w.Flush() != nil || out.String() != want {
		t.Errorf("%v\n%q\nwant\n%q", err, out.String(), want)
	}
}

func TestErrors(t *testing.T) {
	empty, now := newMaildir(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, c := range []struct {
		env  prog.Env
		want string
	}{
		{nil, "MAILDIR not set"},
		{prog.Env{"MAILDIR=/nonexistent"}, "unable to scan $MAILDIR/new: file does not exist"},
		{prog.Env{"MAILDIR=" + empty}, "unable to write output: out of disk space"}, // the terminal has gone
	} {
		stderr, err := os.Create(filepath.Join(t.TempDir(), "err"))
		if err != nil {
			t.Fatal(err)
		}
		p := &prog.Process{Name: "maildirwatch", Env: c.env, Dir: "/", Stdout: full, Stderr: stderr, Now: func() time.Time { return now }}
		status := p.Do(Run)
		stderr.Close()
		if said, _ := os.ReadFile(stderr.Name()); status != 111 || string(said) != "maildirwatch: fatal: "+c.want+"\n" {
			t.Errorf("%q: %d, %q, want 111, %q", c.env, status, said, c.want)
		}
	}
}

// FuzzSummary: nothing of a message reaches the terminal but printable ASCII, in three
// or four lines.
func FuzzSummary(f *testing.F) {
	f.Add("Return-Path: <joe@example.org>\nDelivered-To: x\nFrom: \"Joe\" <j@x>\nSubject: hello\n there\nTo: a\n\nbody one\nbody two\n")
	f.Add("FROM: \x1b[2J\nSubject: a\ab\xff\n\nbody\n")
	f.Fuzz(func(t *testing.T, message string) {
		text, err := summary(strings.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		text = strings.Replace(strings.Replace(text, bold, "", 1), normal, "", 1)
		if n := strings.Count(text, "\n"); n < 3 || n > 4 || !strings.HasSuffix(text, "\n\n") {
			t.Errorf("%q", text)
		}
		for _, c := range []byte(text) {
			if (c < ' ' || c > '~') && c != '\n' {
				t.Errorf("%q", text)
			}
		}
	})
}
