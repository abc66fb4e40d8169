package qcheck

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/envelope"
	"quail/internal/prog"
	"quail/internal/queue"
	"quail/scripts"
)

// testQueue is a queue of the user who runs the test.
type testQueue struct {
	t   *testing.T
	dir queue.Dir
}

func newQueue(t *testing.T) *testQueue {
	t.Helper()
	me := strings.TrimSpace(output(t, "id", "-un"))
	group := strings.TrimSpace(output(t, "id", "-gn"))
	home, users := conf.Home, []*string{&conf.UserAlias, &conf.UserQueue, &conf.UserRemote, &conf.UserSend, &conf.GroupQmail}
	var before []string
	for _, u := range users {
		before = append(before, *u)
		*u = me
	}
	conf.GroupQmail = group
	conf.Home = t.TempDir()
	t.Cleanup(func() {
		conf.Home = home
		for i, u := range users {
			*u = before[i]
		}
	})
	between = time.Millisecond
	q := &testQueue{t, queue.In(conf.Home)}
	q.mkdir("lock", 0o750)
	q.mkdir("mess", 0o750)
	q.write("lock/sendmutex", "", 0o600)
	if findings := q.check("--repair"); !strings.Contains(findings, "tree: lock/trigger is not there: mended\n") || strings.Contains(findings, "left") {
		t.Fatalf("making a queue: %s", findings)
	}
	if got := q.check(); got != "" {
		t.Fatalf("a fresh queue: %s", got)
	}
	return q
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	b, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (q *testQueue) mkdir(name queue.Name, mode os.FileMode) {
	q.t.Helper()
	if err := os.MkdirAll(q.dir.Path(name), mode); err != nil {
		q.t.Fatal(err)
	}
}

func (q *testQueue) write(name queue.Name, contents string, mode os.FileMode) {
	q.t.Helper()
	if err := os.WriteFile(q.dir.Path(name), []byte(contents), mode); err != nil {
		q.t.Fatal(err)
	}
}

// check runs the program and returns what it prints.
func (q *testQueue) check(args ...string) string {
	q.t.Helper()
	out, err := os.CreateTemp(q.t.TempDir(), "out")
	if err != nil {
		q.t.Fatal(err)
	}
	defer out.Close()
	err = Run(&prog.Process{Name: "qmail-qcheck", Args: args, Stdout: out, Now: time.Now}, scripts.Files)
	b, _ := os.ReadFile(out.Name())
	if (err == nil) != (len(b) == 0 || len(args) > 0 && args[0] == "--repair" && !strings.Contains(string(b), ": left")) {
		q.t.Errorf("%q comes with the error %v", b, err)
	}
	return string(b)
}

// message makes a message with the number of its inode, in S5 or, with todo, in S4.
func (q *testQueue) message(text string, inTodo bool) queue.ID {
	q.t.Helper()
	born := q.dir.Path("pid/x")
	if err := os.WriteFile(born, []byte(text), 0o644); err != nil {
		q.t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(born, &st); err != nil {
		q.t.Fatal(err)
	}
	id := queue.ID(st.Ino)
	if err := os.Rename(born, q.dir.Path(id.Mess())); err != nil {
		q.t.Fatal(err)
	}
	q.envelope(id, text, inTodo)
	return id
}

func (q *testQueue) envelope(id queue.ID, text string, inTodo bool) {
	q.t.Helper()
	if inTodo {
		q.write(id.Intd(), "u1\x00p2\x00F"+text+"@from\x00T"+text+"@to\x00", 0o644)
		if err := os.Link(q.dir.Path(id.Intd()), q.dir.Path(id.Todo())); err != nil {
			q.t.Fatal(err)
		}
		return
	}
	q.write(id.Info(), "F"+text+"@from\x00", 0o600)
	q.write(id.Recipients(queue.Local), "D"+text+"@done\x00T"+text+"@to\x00", 0o600)
	q.write(id.Recipients(queue.Remote), "T"+text+"@far\x00", 0o600)
	q.write(id.Bounce(), text, 0o600)
}

// rename gives a message another number, wrong as in a copy.
func (q *testQueue) rename(from, to queue.ID) {
	q.t.Helper()
	for p := part(0); p < parts; p++ {
		err := os.Rename(q.dir.Path(p.place(from)), q.dir.Path(p.place(to)))
		if err != nil && !os.IsNotExist(err) {
			q.t.Fatal(err)
		}
	}
}

// files lists the queue's files but for those of lock.
func (q *testQueue) files() (names []string) {
	filepath.WalkDir(string(q.dir), func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(string(q.dir), path)
		if err == nil && !d.IsDir() && !strings.HasPrefix(rel, "lock/") {
			names = append(names, rel)
		}
		return nil
	})
	return names
}

func TestFindings(t *testing.T) {
	old := time.Now().Add(-40 * time.Hour)
	for _, c := range []struct {
		what   string
		damage func(q *testQueue, id queue.ID) // id is in S5
		want   string                          // with # for the number, % for its subdirectory
		after  string                          // of the repair
	}{
		{"nothing", func(*testQueue, queue.ID) {}, "", ""},
		{"S2 and S3", func(q *testQueue, id queue.ID) {
			os.Remove(q.dir.Path(q.message("s2", true).Todo()))
			os.Remove(q.dir.Path(id.Bounce()))
			os.Remove(q.dir.Path(id.Recipients(queue.Local)))
			os.Remove(q.dir.Path(id.Recipients(queue.Remote)))
			os.Remove(q.dir.Path(id.Info()))
		}, "", ""},
		{"half preprocessed", func(q *testQueue, id queue.ID) {
			os.Remove(q.dir.Path(id.Bounce()))
			q.write(id.Todo(), "u1\x00p2\x00F\x00", 0o644)
			q.write(id.Info(), "", 0o600)
			q.write(id.Recipients(queue.Local), "Thalf", 0o600)
		}, "", ""},
		{"no mess", func(q *testQueue, id queue.ID) { os.Remove(q.dir.Path(id.Mess())) },
			"orphan: bounce/# belongs to no message: there is no mess/%/#|orphan: info/%/# belongs to no message: there is no mess/%/#|" +
				"orphan: local/%/# belongs to no message: there is no mess/%/#|orphan: remote/%/# belongs to no message: there is no mess/%/#", "quarantine×4"},
		{"no info", func(q *testQueue, id queue.ID) { os.Remove(q.dir.Path(id.Info())) },
			"orphan: bounce/# has no info/%/#|orphan: local/%/# has no info/%/#|orphan: remote/%/# has no info/%/#", "mess quarantine×3"},
		{"debris", func(q *testQueue, id queue.ID) {
			for _, n := range []queue.Name{id.Info(), id.Bounce(), id.Recipients(queue.Local), id.Recipients(queue.Remote)} {
				os.Remove(q.dir.Path(n))
			}
			os.Chtimes(q.dir.Path(id.Mess()), old, old)
		}, "debris: mess/%/# is neither in todo nor in info, and older than 36 hours", "quarantine×1"},
		{"records", func(q *testQueue, id queue.ID) { q.write(id.Recipients(queue.Local), "Ta@b\x00xc@d\x00", 0o600) },
			"records: local/%/# has a record 2 of the wrong type 'x'", "quarantine×5"},
		{"lost end", func(q *testQueue, id queue.ID) { q.write(id.Info(), "Fa@b", 0o600) },
			"records: info/%/# has lost the end of record 1", "quarantine×5"},
		{"intd beside info", func(q *testQueue, id queue.ID) { q.write(id.Intd(), "u1\x00", 0o644) },
			"orphan: intd/# cannot be after its message is preprocessed", "bounce info local mess quarantine×1 remote"},
		{"mode", func(q *testQueue, id queue.ID) { os.Chmod(q.dir.Path(id.Mess()), 0o600) },
			"owner: mess/%/# has the mode 0600, not 0644", ""},
		{"another name", func(q *testQueue, id queue.ID) {
			q.write("todo/x.bak", "", 0o644)
			q.write("info/1/007", "", 0o600)
		}, "strange: info/1/007 is no name of a message's file|strange: todo/x.bak is no name of a message's file", "bounce info local mess quarantine×2 remote"},
		{"a directory", func(q *testQueue, id queue.ID) {
			os.Remove(q.dir.Path(id.Bounce()))
			q.mkdir(id.Bounce(), 0o700)
		}, "type: bounce/# is no regular file", "left"},
		{"another split", func(q *testQueue, id queue.ID) {
			q.mkdir("info/40", 0o700)
			os.Rename(q.dir.Path(id.Info()), q.dir.Path("info/40/"+queue.Name(id.String())))
		}, "split: info/40 is a subdirectory that nobody looks into: there are 23|place: info/40/# belongs to info/%/#", ""},
		{"tree", func(q *testQueue, id queue.ID) {
			os.Remove(q.dir.Path("lock/trigger"))
			os.Truncate(q.dir.Path("lock/tcpto"), 5)
			os.Chmod(q.dir.Path("intd"), 0o755)
		}, "tree: intd has the wrong mode, not 0700|tree: lock/tcpto has the wrong size, not 1024|tree: lock/trigger is not there", ""},
	} {
		q := newQueue(t)
		id := q.message("text", false)
		c.damage(q, id)
		fill := strings.NewReplacer("#", id.String(), "%", strconv.FormatUint(uint64(id)%conf.Split, 10))
		want := strings.ReplaceAll(fill.Replace(c.want), "|", "\n")
		if want != "" {
			want += "\n"
		}
		if got := q.check(); got != want {
			t.Errorf("%s: found\n%swant\n%s", c.what, got, want)
		}
		left := c.after == "left"
		if left {
			c.after = ""
		}
		if got, want := q.check("--repair"), outcomes(want, left); got != want {
			t.Errorf("%s: the repair says\n%swant\n%s", c.what, got, want)
		}
		if got := kindsOf(q.files()); c.after != "" && got != c.after {
			t.Errorf("%s: after the repair there is %s, want %s", c.what, got, c.after)
		}
		if got := q.check(); got != "" && !left {
			t.Errorf("%s: after the repair\n%s", c.what, got)
		}
	}
}

// outcomes is what a repair says of findings. What is in quarantine is not delivered
// any more, which nobody should take for mended.
func outcomes(findings string, left bool) string {
	var out strings.Builder
	for line := range strings.Lines(findings) {
		outcome := ": mended\n"
		switch what, _, _ := strings.Cut(line, ":"); {
		case left:
			outcome = ": left\n"
		case slices.Contains([]string{"strange", "orphan", "debris", "records"}, what):
			outcome = ": in quarantine\n"
		}
		out.WriteString(strings.TrimSuffix(line, "\n") + outcome)
	}
	return out.String()
}

// kindsOf names the directories of files, and how many there are in quarantine.
func kindsOf(files []string) string {
	n := 0
	var out []string
	for _, f := range files {
		kind, _, _ := strings.Cut(f, "/")
		if kind == "quarantine" {
			n++
			kind = fmt.Sprintf("quarantine×%d", n)
			out = slices.DeleteFunc(out, func(s string) bool { return strings.HasPrefix(s, "quarantine") })
		}
		out = append(out, kind)
	}
	return strings.Join(out, " ")
}

// A copy has all of its messages under other numbers than those of their inodes, some
// of them each other's.
func TestCopy(t *testing.T) {
	q := newQueue(t)
	var ids []queue.ID
	for i := range 6 {
		ids = append(ids, q.message(fmt.Sprintf("m%d", i), i%2 == 1))
	}
	q.rename(ids[0], 1) // a cycle of three, two that are each other's, one alone
	q.rename(ids[1], ids[0])
	q.rename(ids[2], ids[1])
	q.rename(1, ids[2])
	q.rename(ids[3], 2)
	q.rename(ids[4], ids[3])
	q.rename(2, ids[4])
	q.rename(ids[5], 7777777)
	if got := q.check(); !strings.Contains(got, "copy: mess has no message with the number of its inode: this queue is a copy\n") || strings.Count(got, "name: ") != 6 {
		t.Errorf("found\n%s", got)
	}
	if got := q.check("--repair"); strings.Contains(got, "left") {
		t.Errorf("the repair says\n%s", got)
	}
	q.whole(ids)
}

// whole wants every message under the number that it had at first.
func (q *testQueue) whole(ids []queue.ID) {
	q.t.Helper()
	if got := q.check(); got != "" {
		q.t.Errorf("found\n%s", got)
	}
	n := 0
	for i, id := range ids {
		parts := map[queue.Name]string{id.Info(): "Fm#@from\x00", id.Recipients(queue.Local): "Dm#@done\x00Tm#@to\x00", id.Recipients(queue.Remote): "Tm#@far\x00", id.Bounce(): "m#"}
		if i%2 == 1 {
			parts = map[queue.Name]string{id.Todo(): "u1\x00p2\x00Fm#@from\x00Tm#@to\x00", id.Intd(): "u1\x00p2\x00Fm#@from\x00Tm#@to\x00"}
		}
		parts[id.Mess()] = "m#"
		for name, want := range parts {
			n++
			b, err := os.ReadFile(q.dir.Path(name))
			if want = strings.ReplaceAll(want, "#", strconv.Itoa(i)); string(b) != want {
				q.t.Errorf("%s is %q, %v, want %q", name, b, err, want)
			}
		}
	}
	if files := q.files(); len(files) != n {
		q.t.Errorf("%d files, want %d: %v", len(files), n, files)
	}
}

// Nothing is mended while qmail-send runs, and what is no queue is left alone.
func TestRefuses(t *testing.T) {
	q := newQueue(t)
	lock, _, err := q.dir.Lock()
	if err != nil {
		t.Fatal(err)
	}
	p := &prog.Process{Args: []string{"--repair"}, Now: time.Now}
	if err := Run(p, scripts.Files); err == nil || err.Error() != "qmail-send is running: stop it first" {
		t.Errorf("while it runs: %v", err)
	}
	lock.Close()
	if err := os.RemoveAll(q.dir.Path("mess")); err != nil {
		t.Fatal(err)
	}
	if err := Run(p, scripts.Files); err == nil || !strings.Contains(err.Error(), "or it is no queue") {
		t.Errorf("what is no queue: %v", err)
	}
}

// A file that is given an owner is the one that was looked at, and nobody else's.
func TestOwnFollowsNoLink(t *testing.T) {
	q := newQueue(t)
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	id := q.message("text", false)
	os.Remove(q.dir.Path(id.Bounce()))
	if err := os.Link(other, q.dir.Path(id.Bounce())); err == nil {
		os.Chmod(other, 0o640)
		q.check("--repair")
	}
	if err := own(q.dir.Path(id.Info()), 1, -1, -1, 0o666); err != nil {
		t.Error(err)
	}
	link := q.dir.Path("link")
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	if err := own(link, 0, -1, -1, 0o666); err == nil {
		t.Error("a link was followed")
	}
	for name, want := range map[string]os.FileMode{other: 0o640, q.dir.Path(id.Info()): 0o600} {
		if fi, err := os.Stat(name); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, fi.Mode(), err, want)
		}
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := own(fifo, 0, -1, -1, 0o622); err != nil { // and does not wait for its other end
		t.Error(err)
	}
}

// What is in form is what Preprocess and a pass make of it: for each record that is
// accepted its letter is one of the part's, and the records put together are the file.
func FuzzInForm(f *testing.F) {
	f.Add(0, "u1\x00p2\x00Fa@b\x00Tc@d\x00")
	f.Add(2, "Fa@b\x00")
	f.Add(3, "Ta@b\x00Dc@d\x00")
	f.Fuzz(func(t *testing.T, n int, text string) {
		p := []part{todo, info, local, remote}[uint(n)%4]
		what, err := inForm(p, bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		r := bufio.NewReader(strings.NewReader(text))
		var again strings.Builder
		for {
			rec, err := envelope.ReadRecord(r)
			if err != nil {
				break
			}
			if what == "" && !strings.ContainsRune(letters[p], rune(rec.Type)) {
				t.Errorf("%v %q is in form", p, text)
			}
			again.WriteString(rec.String())
		}
		if what == "" && again.String() != text {
			t.Errorf("%v %q is in form and reads as %q", p, text, again.String())
		}
	})
}

// Names in moving are read as they are written, and no others.
func FuzzMoving(f *testing.F) {
	f.Add("17.mess")
	f.Fuzz(func(t *testing.T, name string) {
		if id, p, ok := parseMoving(name); ok && movingName(id, p) != moving+"/"+queue.Name(name) {
			t.Errorf("%q is read as %v of %v", name, p, id)
		}
	})
}
