package fastforward

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"quail/internal/cdbfile"
	"quail/internal/conf"
	"quail/internal/forwarding"
	"quail/internal/prog"
)

// home makes a home whose qmail-queue keeps what it is given, with a database of
// instructions.
func home(t *testing.T, instructions string) {
	t.Helper()
	conf.Home = t.TempDir()
	if err := os.Mkdir(conf.Home+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, "bin/qmail-queue", "#!/bin/sh\ncat >message; tr '\\0' , <&1 >envelope; exit $(cat status)\n", 0o755)
	write(t, "status", "0", 0o644)
	write(t, "in", "Subject: x\n\nbody\n", 0o644)
	compile(t, instructions)
}

func compile(t *testing.T, instructions string) {
	t.Helper()
	d, err := cdbfile.Create(conf.Home + "/cdb")
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range forwarding.Scan(strings.NewReader(instructions)) {
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(conf.Home, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func read(name string) string {
	b, _ := os.ReadFile(filepath.Join(conf.Home, name))
	return string(b)
}

var env = prog.Env{"PATH=/usr/bin:/bin", "RECIPIENT=root@me.example", "EXT=ext-root", "HOST=me.example", "SENDER=sender@away.example",
	"UFLINE=From sender\n", "RPLINE=Return-Path: <sender>\n", "DTLINE=Delivered-To: root\n"}

func run(t *testing.T, env prog.Env, args ...string) (status int, said string) {
	t.Helper()
	in, err := os.Open(filepath.Join(conf.Home, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(conf.Home, "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &prog.Process{Name: "fastforward", Args: args, Env: env, Dir: conf.Home, Stdin: in, Stdout: out, Stderr: out}
	status = p.Do(Run)
	return status, read("said")
}

// The order of recipients is that of fastforward 0.51, and so is that an address which
// leads back to itself is followed a second time, but no third.
const rows = `
root@: joe@a.example, jane@me.example, bob@b.example;
jane@me.example: x@a.example, joe@a.example, !count one;
@virt.example: ?owner@me.example, y@a.example;
list@me.example: ?own@me.example, m@a.example;
all@me.example: list@me.example, jane@me.example, all@me.example, root@me.example, |first, ./one.bin;
loop@me.example: pool@me.example; pool@me.example: loop@me.example;
none@me.example: ?own@me.example;
odd@me.example: o\ ` + "\x01\xe9" + `@a.example;
`

func TestDry(t *testing.T) {
	home(t, rows)
	write(t, "one.bin", "&in-one@a.example\x00./two.bin\x00", 0o444)
	write(t, "two.bin", "./one.bin\x00&in-two@a.example\x00&in-one@a.example\x00", 0o644)
	const sorry = "Sorry, no mailbox here by that name. (#5.1.1)\n"
	for _, c := range []struct {
		recipient string
		status    int
		want      string
	}{
		{"ROOT@any.example", 0, "run !countone\nfrom <sender@away.example>\nto <x@a.example>\nto <joe@a.example>\nto <bob@b.example>\n"},
		{"root", 100, sorry},
		{"who@me.example", 100, sorry},
		{"none@me.example", 100, sorry},
		{"z@Virt.Example", 0, "from <owner@me.example>\nto <y@a.example>\n"},
		{"list@me.example", 0, "from <own@me.example>\nto <m@a.example>\n"},
		{"all@me.example", 0, "run |first\nrun |first\nrun !countone\nfrom <sender@away.example>\nto <list@me.example>\nto <x@a.example>\nto <joe@a.example>\n" +
			"to <root@me.example>\nto <in-two@a.example>\nto <in-one@a.example>\n"},
		{"loop@me.example", 0, "no forwarding\n"},
		{"odd@me.example", 0, "from <sender@away.example>\nto <o __@a.example>\n"},
	} {
		env := env.With("RECIPIENT", c.recipient)
		if status, said := run(t, env, "-n", "cdb"); status != c.status || said != c.want {
			t.Errorf("%s: %d, %q, want %d, %q", c.recipient, status, said, c.status, c.want)
		}
		passed := c.status + 99
		if c.status == 100 {
			passed, c.want = 0, ""
		}
		if status, said := run(t, env, "-np", "cdb"); status != passed || said != c.want {
			t.Errorf("-p %s: %d, %q, want %d, %q", c.recipient, status, said, passed, c.want)
		}
	}
	for _, sender := range []string{"", "#@[]"} { // of bounces
		_, said := run(t, env.With("SENDER", sender).With("RECIPIENT", "list@me.example"), "-n", "cdb")
		if want := fmt.Sprintf("from <%s>\nto <m@a.example>\n", sender); said != want {
			t.Errorf("a bounce: %q, want %q", said, want)
		}
	}
	if _, said := run(t, env.Without("SENDER").With("RECIPIENT", "b@virt.example"), "-n", "cdb"); !strings.HasPrefix(said, "from <owner@me.example>\n") {
		t.Errorf("without a sender: %q", said)
	}
}

func TestAddress(t *testing.T) {
	home(t, "ext-root@me.example: by-ext@a.b; root@me.example: by-recipient@a.b; root-x@: by-default@a.b;")
	for _, c := range []struct {
		env    prog.Env
		option string
		status int
		want   string // the only recipient, or the end of what is said
	}{
		{env, "-nD", 0, "to <by-recipient@a.b>\n"},
		{env, "-nd", 0, "to <by-ext@a.b>\n"},
		{env, "-ndD", 0, "to <by-recipient@a.b>\n"},
		{env.With("DEFAULT", "root-x"), "-nd", 0, "to <by-default@a.b>\n"},
		{env.With("DEFAULT", ""), "-nd", 100, "by that name. (#5.1.1)\n"},
		{env.Without("EXT"), "-nd", 100, "fastforward: fatal: $DEFAULT or $EXT must be set\n"},
		{env.Without("HOST"), "-nd", 100, "fastforward: fatal: $HOST must be set\n"},
		{env.Without("RECIPIENT"), "-n", 100, "fastforward: fatal: $RECIPIENT must be set\n"},
		{env, "-x", 100, "fastforward: usage: fastforward [ -nNpPdD ] data.cdb\n"},
	} {
		if status, said := run(t, c.env, c.option, "cdb"); status != c.status || !strings.HasSuffix(said, c.want) {
			t.Errorf("%s: %d, %q, want %d, %q", c.option, status, said, c.status, c.want)
		}
	}
	if status, said := run(t, env); status != 100 || !strings.Contains(said, "usage") {
		t.Errorf("no database: %d, %q", status, said)
	}
	if status, said := run(t, env, "absent"); status != 111 || said != "fastforward: fatal: unable to read absent: file does not exist\n" {
		t.Errorf("an absent database: %d, %q", status, said)
	}
}

func TestDelivery(t *testing.T) {
	const queued = `fastforward: qp [0-9]+\n`
	for _, c := range []struct {
		queue, instructions string
		status              int
		said                string // regular expression
		envelope            string
	}{
		{"0", "root@: a@b, c@d;", 0, queued, "Fsender@away.example,Ta@b,Tc@d,,"},
		{"0", "root@: ?o@w, a@b;", 0, queued, "Fo@w,Ta@b,,"},
		{"0", "root@: |cat >bar;", 0, "", ""},
		{"0", "root@: |cat\\ >bar, !cat\\ >bang, |echo\\ $RECIPIENT, a@b;", 0, `root@me.example\n` + queued, "Fsender@away.example,Ta@b,,"},
		{"0", "root@: |exit\\ 100, a@b;", 100, "", ""},
		{"0", "root@: |exit\\ 65, a@b;", 100, "", ""},
		{"0", "root@: |exit\\ 99, a@b;", 111, "", ""},
		{"0", "root@: |kill\\ -9\\ $$, a@b;", 111, `fastforward: fatal: child crashed in kill -9 \$\$\n`, ""},
		{"31", "root@: a@b;", 100, `fastforward: fatal: mail server permanently rejected message \(#5.3.0\)\n`, "Fsender@away.example,Ta@b,,"},
		{"53", "root@: a@b;", 111, `fastforward: fatal: qq write error or disk full \(#4.3.0\)\n`, "Fsender@away.example,Ta@b,,"},
	} {
		home(t, c.instructions)
		write(t, "status", c.queue, 0o644)
		status, said := run(t, env, "cdb")
		if status != c.status || !regexp.MustCompile("^"+c.said+"$").MatchString(said) || read("envelope") != c.envelope {
			t.Errorf("%q: %d, %q, %q, want %d, %q, %q", c.instructions, status, said, read("envelope"), c.status, c.said, c.envelope)
		}
		if strings.Contains(c.instructions, "bang") && (read("bar") != read("in") ||
			read("bang") != "From sender\nReturn-Path: <sender>\nDelivered-To: root\n"+read("in") || read("message") != "Delivered-To: root\n"+read("in")) {
			t.Errorf("delivered %q, %q and %q", read("bar"), read("bang"), read("message"))
		}
	}
	home(t, "root@: a@b;")
	if status, _ := run(t, env, "-p", "cdb"); status != 99 || read("envelope") == "" {
		t.Errorf("passing through: status %d", status)
	}
	for _, name := range []string{"SENDER", "DTLINE"} {
		if status, said := run(t, env.Without(name), "cdb"); status != 100 || said != "fastforward: fatal: "+name+" not set\n" {
			t.Errorf("without %s: %d, %q", name, status, said)
		}
	}
}

// Lists are other users' files. One that is not fit to be read delays mail, before
// anything else is done with it.
func TestLists(t *testing.T) {
	home(t, "root@: |touch\\ ran, a@b, ./list;")
	if err := unix.Mkfifo(conf.Home+"/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		prepare func()
		want    string
	}{
		{func() {}, "unable to read ./list: file does not exist"},
		{func() { write(t, "list", "&a@b\x00", 0o640) }, "./list is not world-readable"},
		{func() { write(t, "list", "&a@b\x00c", 0o644) }, "unable to read ./list: bad mailing list format"},
		{func() { write(t, "list", "|touch ran\x00", 0o644) }, "unable to read ./list: bad mailing list format"},
		// A file of nothing but a hole used to be read as a whole, to its end.
		{func() { write(t, "list", "", 0o644); os.Truncate(conf.Home+"/list", 1<<40) }, "unable to read ./list: mailing lists too long"},
		// And so did one that is within the bounds together with others that are.
		{func() {
			os.Truncate(conf.Home+"/list", 0)
			long := strings.Repeat("&a@b\x00", maxLists/5/2)
			write(t, "list", "./1\x00./2\x00./3\x00", 0o644)
			for _, name := range []string{"1", "2", "3"} {
				write(t, name, long, 0o644)
			}
		}, "unable to read ./2: mailing lists too long"},
		{func() { os.Remove(conf.Home + "/list"); os.Symlink("fifo", conf.Home+"/list") }, "unable to read ./list: bad mailing list format"},
		{func() { os.Remove(conf.Home + "/list"); os.Symlink("list", conf.Home+"/list") }, "unable to read ./list: symbolic link loop"},
	} {
		c.prepare()
		status, said := run(t, env, "cdb")
		if status != 111 || said != "fastforward: fatal: "+c.want+"\n" {
			t.Errorf("%d, %q, want 111, %q", status, said, c.want)
		}
		if read("envelope") != "" {
			t.Errorf("%s, but the rest was forwarded", c.want)
		}
		if _, err := os.Stat(conf.Home + "/ran"); err == nil {
			t.Errorf("%s, but a program was run", c.want)
		}
	}
}

// Whatever a database is instead of one, mail waits.
func TestBroken(t *testing.T) {
	home(t, "root@me.example: a@b;")
	whole := read("cdb")
	for n := 0; n < len(whole); n += 17 {
		write(t, "cdb", whole[:n], 0o644)
		if status, said := run(t, env, "-n", "cdb"); status != 111 || !strings.HasPrefix(said, "fastforward: fatal: unable to read cdb: ") {
			t.Fatalf("the first %d bytes of a database: %d, %q", n, status, said)
		}
	}
	d, err := cdbfile.Create(conf.Home + "/cdb")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Add(forwarding.Instructions("root@", "&a@b", "what")); err != nil {
		t.Fatal(err)
	}
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	if status, said := run(t, env, "cdb"); status != 111 || said != "fastforward: fatal: unable to read cdb: bad database format\n" || read("envelope") != "" {
		t.Errorf("%d, %q, %q", status, said, read("envelope"))
	}
}
