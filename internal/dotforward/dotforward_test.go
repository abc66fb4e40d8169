package dotforward

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/prog"
)

// home makes a home whose qmail-queue keeps what it is given and exits as told, and
// makes it the user's as well.
func home(t *testing.T, queue string) string {
	t.Helper()
	conf.Home = t.TempDir()
	for _, dir := range []string{"/bin", "/control"} {
		if err := os.Mkdir(conf.Home+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, "control/me", "me.example\n")
	write(t, "bin/qmail-queue", "#!/bin/sh\ncat >message; tr '\\0' , <&1 >envelope; exit "+queue+"\n")
	write(t, "message-in", "Subject: x\n\nbody\n")
	return conf.Home
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(conf.Home, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func read(name string) string {
	b, _ := os.ReadFile(filepath.Join(conf.Home, name))
	return string(b)
}

var env = prog.Env{"PATH=/usr/bin:/bin", "USER=joe", "HOST=me.example", "NEWSENDER=sender@away.example",
	"UFLINE=From sender\n", "RPLINE=Return-Path: <sender>\n", "DTLINE=Delivered-To: joe\n"}

func run(t *testing.T, env prog.Env, args ...string) (status int, said string) {
	t.Helper()
	in, err := os.Open(filepath.Join(conf.Home, "message-in"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(conf.Home, "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &prog.Process{Name: "dot-forward", Args: args, Env: env, Dir: conf.Home, Stdin: in, Stdout: out, Stderr: out}
	status = p.Do(Run)
	return status, read("said")
}

func TestDry(t *testing.T) {
	home(t, "0")
	write(t, "empty", "# nothing\n\n(here)\n<>\n")
	for _, c := range []struct {
		file   string
		status int
		want   string
	}{
		{"a\n#b\nc@d, e@f.g\n", 99, "forward a@me.example\nforward e@f.g\nforward c@d.me.example\n"},
		{"\"|x y\", |\"z\"", 99, "pipe through z\npipe through x y\n"},
		{"\\JOE", 0, "direct delivery\n"},
		{"Joe@Me.Example, a", 0, "forward a@me.example\ndirect delivery\n"},
		{"joe@host", 99, "forward joe@host.me.example\n"},
		{"", 0, "skipping empty file file\nskipping empty file empty\ndirect delivery\n"},
	} {
		write(t, "file", c.file)
		if status, said := run(t, env, "-n", "absent", "file", "empty"); status != c.status || said != c.want {
			t.Errorf("%q: %d, %q, want %d, %q", c.file, status, said, c.status, c.want)
		}
		if read("envelope") != "" {
			t.Fatal("a dry run has forwarded")
		}
	}
}

func TestForward(t *testing.T) {
	for _, c := range []struct {
		queue, file string
		status      int
		said        string // regular expression
		envelope    string
	}{
		{"0", "a, b@c.d\ne\n", 99, "dot-forward: info: qp [0-9]+\n", "Fsender@away.example,Tb@c.d,Ta@me.example,Te@me.example,,"},
		{"0", "a, joe\n", 0, "dot-forward: info: qp [0-9]+\n", "Fsender@away.example,Ta@me.example,,"},
		{"31", "a, joe\n", 100, "dot-forward: fatal: unable to forward message: mail server permanently rejected message .*\n", "Fsender@away.example,Ta@me.example,,"},
		{"53", "a\n", 111, "dot-forward: fatal: unable to forward message: qq write error or disk full .*\n", "Fsender@away.example,Ta@me.example,,"},
		{"0", "joe\n", 0, "", ""},
		{"0", "# a\n", 0, "", ""},
		{"0", "a, /b\n", 111, "dot-forward: fatal: file delivery /b not supported\n", ""},
		{"0", "a, :include:b\n", 111, "dot-forward: fatal: :include: is not supported\n", ""},
		{"0", "a\n\"b\n", 111, "dot-forward: fatal: unable to parse this line: \"b\n", ""},
	} {
		home(t, c.queue)
		write(t, ".forward", c.file)
		status, said := run(t, env, ".forward")
		if status != c.status || !regexp.MustCompile("^"+c.said+"$").MatchString(said) || read("envelope") != c.envelope {
			t.Errorf("%q: %d, %q, %q, want %d, %q, %q", c.file, status, said, read("envelope"), c.status, c.said, c.envelope)
		}
		if c.envelope != "" && read("message") != "Delivered-To: joe\nSubject: x\n\nbody\n" {
			t.Errorf("%q: forwarded %q", c.file, read("message"))
		}
	}
}

func TestPrograms(t *testing.T) {
	for _, c := range []struct {
		file   string
		status int
		said   string
	}{
		{`"|cat >one; echo $USER", "|cat >two"`, 99, "joe\n"},
		{`"|cat >one", joe, "|cat >two"`, 0, ""},
		{`"|cat >two; echo no; exit 100", "|cat >one"`, 100, "no\n"},
		{`"|cat >two; exit 77", "|cat >one"`, 100, ""},
		{`"|cat >two; exit 99", "|cat >one"`, 111, ""},
		{`"|cat >two; exit 1", "|cat >one"`, 111, ""},
		{`"|cat >two; kill -9 $$", "|cat >one"`, 111, "dot-forward: fatal: child crashed in cat >two; kill -9 $$\n"},
		{`"|exit 0", "|cat >one", "|cat >two"`, 99, ""}, // one that reads nothing
	} {
		home(t, "0")
		write(t, ".forward", c.file+"\n")
		if status, said := run(t, env, ".forward"); status != c.status || said != c.said {
			t.Errorf("%s: %d, %q, want %d, %q", c.file, status, said, c.status, c.said)
		}
		const want = "From sender\nReturn-Path: <sender>\nDelivered-To: joe\nSubject: x\n\nbody\n"
		if read("one") != want || read("two") != want {
			t.Errorf("%s: the programs got %q and %q", c.file, read("one"), read("two"))
		}
	}
}

// A file is read to its end before anything is done, so that what is wrong there does
// not have programs run again and again.
func TestNothingInPart(t *testing.T) {
	home(t, "0")
	write(t, ".forward", "\"|touch ran\", a@b.c\n:include:x\n")
	if status, _ := run(t, env, ".forward"); status != 111 || read("envelope") != "" {
		t.Errorf("status %d, forwarded %q", status, read("envelope"))
	}
	if _, err := os.Stat(conf.Home + "/ran"); err == nil {
		t.Error("a program was run")
	}
}

// The first file that exists and is not empty counts.
func TestFiles(t *testing.T) {
	dir := home(t, "0")
	write(t, "empty", "")
	write(t, "one", "one\n")
	write(t, "two", "two\n")
	if status, _ := run(t, env, "absent", "empty", dir+"/one", "two"); status != 99 || read("envelope") != "Fsender@away.example,Tone@me.example,," {
		t.Errorf("%d, %q", status, read("envelope"))
	}
	if status, said := run(t, env, "control", "one"); status != 111 || said != "dot-forward: fatal: unable to read control: is a directory\n" {
		t.Errorf("a file that cannot be read: %d, %q", status, said)
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(dir+"/fifo", os.O_RDWR, 0) // one who writes nothing was waited for
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if status, said := run(t, env, "-n", "fifo"); status != 0 || said != "skipping empty file fifo\ndirect delivery\n" {
		t.Errorf("a FIFO: %d, %q", status, said)
	}
	if status, said := run(t, env); status != 0 || said != "" {
		t.Errorf("no file: %d, %q", status, said)
	}
	if status, said := run(t, env, "-x"); status != 100 || !strings.HasSuffix(said, "dot-forward: usage: dot-forward [ -nN ] file ...\n") {
		t.Errorf("wrong usage: %d, %q", status, said)
	}
	if status, said := run(t, env.Without("DTLINE"), "one"); status != 100 || said != "dot-forward: fatal: DTLINE not set\n" {
		t.Errorf("without what ends loops: %d, %q", status, said)
	}
}
