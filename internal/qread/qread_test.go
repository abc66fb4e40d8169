package qread

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/prog"
	"quail/internal/queue"
)

// newQueue makes the directories of a queue in a new home.
func newQueue(t testing.TB) queue.Dir {
	t.Helper()
	conf.Home = t.TempDir()
	d := queue.In(conf.Home)
	dirs := []queue.Name{"bounce", "intd", "pid", "todo"}
	for _, split := range []string{"mess", "info", "local", "remote"} {
		dirs = append(dirs, queue.Splits(split)...)
	}
	for _, n := range dirs {
		if err := os.MkdirAll(d.Path(n), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func write(t testing.TB, path, contents string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(contents), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs the program and returns what it prints and its status.
func run(t testing.TB) (out string, status int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	printed := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		printed <- string(b)
	}()
	status = (&prog.Process{Name: "qmail-qread", Stdout: w, Stderr: os.Stderr}).Do(Run)
	w.Close()
	return <-printed, status
}

// What the original printed for the same files.
func TestMessages(t *testing.T) {
	const id = queue.ID(900000001)
	birth := time.Date(2001, 9, 14, 1, 46, 43, 500, time.UTC)
	for _, c := range []struct {
		name                        string
		info, local, remote, bounce string // "" is no file
		want                        string
	}{
		{"nothing to do", "Fs@x\x00", "", "", "", "<s@x> \n"},
		{"both channels", "Fs@x\x00", "Ta@x\x00Db@y\x00", "Tc@z\x00Dd\x00", "text",
			"<s@x>  bouncing\n\tlocal\ta@x\n  done\tlocal\tb@y\n\tremote\tc@z\n  done\tremote\td\n"},
		{"bounce message", "F\x00", "", "Ta b<>\t\x01\x7f\xff~\n\x00", "", "<> \n\tremote\ta b<>____~_\n"},
		{"not ASCII", "F\xc3\xa4 \x00", "", "", "", "<__ > \n"},
		{"second record in info", "Fa\x00Fb\x00", "Tb\x00", "", "", "<a> \n\tlocal\tb\n"},
		{"other records, unended record", "Fa\x00", "Xa\x00Tb\x00\x00Tc\x00Dd", "", "", "<a> \n\tlocal\tb\n\tlocal\tc\n"},
		{"empty addresses", "Fx\x00", "T\x00D\x00", "", "", "<x> \n\tlocal\t\n  done\tlocal\t\n"},
		{"long", "F" + strings.Repeat("l", 5000) + "\x00", "T" + strings.Repeat("q", 5000) + "\x00", "", "",
			"<" + strings.Repeat("l", 5000) + "> \n\tlocal\t" + strings.Repeat("q", 5000) + "\n"},
	} {
		d := newQueue(t)
		write(t, d.Path(id.Mess()), "hello\n")
		for path, contents := range map[string]string{
			d.Path(id.Info()): c.info, d.Path(id.Bounce()): c.bounce,
			d.Path(id.Recipients(queue.Local)): c.local, d.Path(id.Recipients(queue.Remote)): c.remote,
		} {
			if contents != "" {
				write(t, path, contents)
			}
		}
		if err := os.Chtimes(d.Path(id.Info()), birth, birth); err != nil {
			t.Fatal(err)
		}
		want := "14 Sep 2001 01:46:43 GMT  #900000001  6  " + c.want
		if got, status := run(t); got != want || status != 0 {
			t.Errorf("%s: status %d, got\n%.300s\nwant\n%.300s", c.name, status, got, want)
		}
	}
}

// Trouble with one message does not keep the others from being listed.
func TestTrouble(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(d queue.Dir, id queue.ID)
		want string
	}{
		{"no message", func(d queue.Dir, id queue.ID) { os.Remove(d.Path(id.Mess())) }, "file does not exist"},
		{"info is a dangling link", func(d queue.Dir, id queue.ID) {
			os.Remove(d.Path(id.Info()))
			os.Symlink("nothere", d.Path(id.Info()))
		}, "file does not exist"},
		{"info is no record", func(d queue.Dir, id queue.ID) { write(t, d.Path(id.Info()), "Fa") },
			"trouble reading INFO: unexpected EOF"},
		{"wrong record", func(d queue.Dir, id queue.ID) { write(t, d.Path(id.Info()), "Xa\x00") },
			"trouble reading INFO: unknown record type"},
	} {
		d := newQueue(t)
		var ids []queue.ID
		for id := queue.ID(900000002); id < 900000005; id++ {
			ids = append(ids, id)
			write(t, d.Path(id.Mess()), "")
			write(t, d.Path(id.Info()), "Fs\x00")
		}
		write(t, d.Path("info/3/not a number"), "Fs\x00")
		c.do(d, ids[1])
		got, status := run(t)
		lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
		want := fmt.Sprintf("warning: trouble with #%v: %s", ids[1], strings.Replace(c.want, "INFO", string(ids[1].Info()), 1))
		if status != 0 || len(lines) != 3 || !slices.Contains(lines, want) {
			t.Errorf("%s: status %d, got\n%swant three lines with\n%s", c.name, status, got, want)
		}
	}
}

func TestFatal(t *testing.T) {
	d := newQueue(t)
	if err := os.Remove(d.Path("info/7")); err != nil {
		t.Fatal(err)
	}
	if got, status := run(t); got != "fatal: unable to opendir info/7: file does not exist\n" || status != 111 {
		t.Errorf("without info/7: %q, %d", got, status)
	}
	if err := os.RemoveAll(string(d)); err != nil {
		t.Fatal(err)
	}
	if got, status := run(t); got != "fatal: unable to chdir: file does not exist\n" || status != 111 {
		t.Errorf("without a queue: %q, %d", got, status)
	}
	write(t, string(d), "")
	if got, status := run(t); got != "fatal: unable to chdir: not a directory\n" || status != 111 {
		t.Errorf("with a file for a queue: %q, %d", got, status)
	}
}

// Whatever is in the files, the listing is lines of printable ASCII and tabs, and
// an address never begins a line.
func FuzzListing(f *testing.F) {
	f.Add("Fs\x00", "Ta\x00Db\x00")
	f.Add("F\n\x00", "T\n#1\x00X\x00")
	d, id := newQueue(f), queue.ID(5)
	f.Fuzz(func(t *testing.T, info, local string) {
		write(t, d.Path(id.Mess()), "")
		write(t, d.Path(id.Info()), info)
		write(t, d.Path(id.Recipients(queue.Local)), local)
		got, status := run(t)
		if status != 0 || !strings.HasSuffix(got, "\n") {
			t.Fatalf("status %d, %q", status, got)
		}
		for i, line := range strings.Split(strings.TrimSuffix(got, "\n"), "\n") {
			first := strings.Contains(line, " GMT  #5  0  <") || strings.HasPrefix(line, "warning: trouble with #5: ")
			recipient := strings.HasPrefix(line, "\tlocal\t") || strings.HasPrefix(line, "  done\tlocal\t")
			if first != (i == 0) || recipient != (i > 0) {
				t.Errorf("line %d is %q", i, line)
			}
			if strings.IndexFunc(line, func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }) >= 0 {
				t.Errorf("unprintable: %q", line)
			}
		}
	})
}

// A listing whose reader has gone, as in "qmail-qread | head", once ended in a complaint.
func TestReaderHasGone(t *testing.T) {
	dir := newQueue(t)
	const id = queue.ID(900000001)
	write(t, dir.Path(id.Mess()), "text")
	write(t, dir.Path(id.Info()), "Fs@x\x00")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	complaints, err := os.Create(t.TempDir() + "/stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer complaints.Close()
	p := &prog.Process{Name: "qmail-qread", Stdout: w, Stderr: complaints}
	status := p.Do(Run)
	if said, err := os.ReadFile(complaints.Name()); err != nil || status != prog.StatusTemporary || len(said) > 0 {
		t.Errorf("status %d, %q, %v; want 111 and nothing", status, said, err)
	}
}
