package maildir2mbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/prog"
)

// What the original does too is in testdata/pop3, which internal/pop3 tests.

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// box is a directory with a Maildir md.
type box struct {
	*testing.T
	dir string
}

func newBox(t *testing.T) box {
	b := box{t, t.TempDir()}
	for _, sub := range []string{"tmp", "new", "cur"} {
		check(t, os.MkdirAll(b.path("md", sub), 0o700))
	}
	return b
}

func (b box) path(elements ...string) string {
	return filepath.Join(append([]string{b.dir}, elements...)...)
}

// put writes a message.
func (b box) put(name, text string, seconds int) {
	b.Helper()
	check(b, os.WriteFile(b.path("md", name), []byte(text), 0o600))
	when := time.Unix(978307200+int64(seconds), 0)
	check(b, os.Chtimes(b.path("md", name), when, when))
}

func (b box) read(name string) string {
	b.Helper()
	text, err := os.ReadFile(b.path(name))
	check(b, err)
	return string(text)
}

// left lists the files in new and cur.
func (b box) left() string {
	names, err := filepath.Glob(b.path("md/[nc]*/*"))
	check(b, err)
	for i := range names {
		names[i], err = filepath.Rel(b.path("md"), names[i])
		check(b, err)
	}
	return strings.Join(names, " ")
}

// run is one run of the program.
func (b box) run(mail, draft string) (status int, said string) {
	b.Helper()
	f, err := os.CreateTemp(b.TempDir(), "err")
	check(b, err)
	defer f.Close()
	p := &prog.Process{Name: "maildir2mbox", Dir: b.dir, Stderr: f, Now: time.Now, Env: prog.Env{"MAILDIR=md", "MAIL=" + mail, "MAILTMP=" + draft}}
	status = p.Do(Run)
	text, err := os.ReadFile(f.Name())
	check(b, err)
	return status, string(text)
}

// The original leaves out a last line that has no end.
func TestNoEnd(t *testing.T) {
	b := newBox(t)
	b.put("new/1", "Subject: x\n\nlast", 0)
	b.put("new/2", "Return-Path: <a@b>", 1)
	b.put("new/3", "Return-Path: <a@b>\nFrom ", 2)
	b.put("new/4", "\x00", 3)
	if status, said := b.run("../mbox", "../tmp"); status != 0 || said != "" {
		t.Fatal(status, said)
	}
	const day = " Mon Jan 01 00:00:0"
	want := "From XXX" + day + "0 2001\nSubject: x\n\nlast\n\nFrom XXX" + day + "1 2001\nReturn-Path: <a@b>\n\nFrom a@b" + day +
		"2 2001\nReturn-Path: <a@b>\n>From \n\nFrom XXX" + day + "3 2001\n\x00\n\n"
	if got := b.read("mbox"); got != want {
		t.Errorf("mbox is %q, want %q", got, want)
	}
}

// A link in the draft's place used to have its file overwritten, and to take the mbox's
// place itself.
func TestDraftIsLink(t *testing.T) {
	b := newBox(t)
	b.put("new/1", "one\n", 0)
	check(t, os.WriteFile(b.path("other"), []byte("precious"), 0o600))
	check(t, os.Symlink("other", b.path("tmp")))
	if status, said := b.run("../mbox", "../tmp"); status != 0 || said != "" {
		t.Fatal(status, said)
	}
	if other := b.read("other"); other != "precious" {
		t.Errorf("another file became %q", other)
	}
	if fi, err := os.Lstat(b.path("mbox")); err != nil || fi.Mode() != 0o600 {
		t.Errorf("the mbox is %v, %v", fi, err)
	}
}

// A message that cannot be read, or a draft that cannot be written, changes nothing.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		what        string
		spoil       func(b box) error
		mail, draft string
		want        string
	}{
		{"a directory among the messages", func(b box) error { return os.Mkdir(b.path("md/new/0"), 0o700) }, "../mbox", "../tmp",
			"unable to read $MAILDIR/new/0: is a directory"},
		{"no descriptor for the draft", func(b box) error { return os.Mkdir(b.path("tmp"), 0o700) }, "../mbox", "../tmp",
			"unable to create ../tmp: is a directory"},
		{"draft is mbox", nil, "../mbox", "../mbox", "unable to create ../mbox: same file as the mbox"},
		{"draft is a link to the mbox", func(b box) error { return os.Symlink("mbox", b.path("link")) }, "../mbox", "../link",
			"unable to create ../link: same file as the mbox"},
		{"draft is a device", nil, "../mbox", "/dev/full", "unable to create /dev/full: file already exists"},
		{"another file system", func(b box) error { return nil }, "../mbox", "/dev/shm/quail-test-draft",
			"unable to move /dev/shm/quail-test-draft to ../mbox: cross-device link"},
	} {
		b := newBox(t)
		b.put("new/1", "one\n", 0)
		check(t, os.WriteFile(b.path("mbox"), []byte("old\n"), 0o600))
		if c.spoil != nil {
			check(t, c.spoil(b))
			past := time.Unix(0, 0)
			os.Chtimes(b.path("md/new/0"), past, past)
		}
		status, said := b.run(c.mail, c.draft)
		if status != 111 || !strings.HasPrefix(said, "maildir2mbox: fatal: "+c.want) {
			if c.what == "another file system" && status == 0 {
				continue // it is the same one here
			}
			t.Errorf("%s: %d, %q, want %q", c.what, status, said, c.want)
		}
		if mbox := b.read("mbox"); mbox != "old\n" || !strings.Contains(b.left(), "new/1") {
			t.Errorf("%s: the mbox is %q, the Maildir has %s", c.what, mbox, b.left())
		}
	}
}

// Others work in the Maildir and in the mbox. A second run waits for the first one, and
// finds nothing left to do.
func TestTogether(t *testing.T) {
	b := newBox(t)
	const n = 200
	for i := range n {
		b.put(fmt.Sprintf("new/%d", i), fmt.Sprintf("message %d\n", i), i)
	}
	lock, err := os.OpenFile(b.path("mbox"), os.O_RDWR|os.O_CREATE, 0o600)
	check(t, err)
	check(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	const runs = 4
	done := make(chan string)
	for range runs {
		go func() {
			status, said := b.run("../mbox", "../tmp")
			done <- fmt.Sprintf("%d%s", status, said)
		}()
	}
	lock.Close()
	for range runs {
		if got := <-done; got != "0" {
			t.Error(got)
		}
	}
	mbox := b.read("mbox")
	for i := range n {
		if strings.Count(mbox, fmt.Sprintf("\nmessage %d\n", i)) != 1 {
			t.Errorf("message %d is there %d times", i, strings.Count(mbox, fmt.Sprintf("\nmessage %d\n", i)))
		}
	}
	if b.left() != "" {
		t.Errorf("left are %s", b.left())
	}
}

// Lines and messages may be larger than memory.
func TestLarge(t *testing.T) {
	b := newBox(t)
	b.put("new/1", "Return-Path: <"+strings.Repeat("x", 10<<20)+"@y>\n"+strings.Repeat(">", 1<<20)+"From x", 0)
	if status, said := b.run("../mbox", "../tmp"); status != 0 || said != "" {
		t.Fatal(status, said)
	}
	if got := b.read("mbox"); !strings.HasPrefix(got, "From XXX Mon") || !strings.HasSuffix(got, strings.Repeat(">", 1<<20+1)+"From x\n\n") {
		t.Errorf("mbox has %d bytes, beginning with %.100q", len(got), got)
	}
}

// The sender of a From line is one word, whatever the message begins with.
func FuzzSender(f *testing.F) {
	for _, s := range []string{"Return-Path: <a b@c>\n", "Return-Path: <>\n", "Return-Path: <\n", "Return-Path: <x\ty", "From x\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := sender(text); strings.ContainsAny(got, " \t\n") {
			t.Errorf("%q comes from %q", text, got)
		}
	})
}
