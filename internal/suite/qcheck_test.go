package suite

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// qmail-qcheck: what it says of a queue at work, and what it makes of a damaged one.

// qcheck runs qmail-qcheck and returns what it prints.
func (s *suite) qcheck(args ...string) (out string, status int) {
	s.t.Helper()
	cmd := exec.Command(s.path("bin/qmail-qcheck"), args...)
	b, err := cmd.CombinedOutput()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		s.t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// Nothing is wrong with a queue that mail goes through.
func TestQcheckAtWork(t *testing.T) {
	s := install(t)
	s.start()
	s.deferred("joe@"+me, "a", "b")
	const letters = 60
	queued := make(chan bool)
	go func() {
		defer close(queued)
		for range letters {
			cmd := exec.Command(s.path("bin/sendmail"), "-f", "joe@"+me, "--", "joe@"+me, "joe-no@"+me)
			cmd.Stdin = strings.NewReader("Subject: load\n\n")
			cmd.Run()
		}
	}()
	looks := 0
	for going := true; going || looks < 10; looks++ {
		if out, status := s.qcheck(); out != "" || status != 0 {
			t.Fatalf("look %d: status %d\n%s", looks, status, out)
		}
		select {
		case <-queued:
			going = false
		default:
		}
	}
	if out, status := s.qcheck("--repair"); status != 111 || !strings.HasSuffix(out, "fatal: qmail-send is running: stop it first\n") {
		t.Errorf("a repair while it runs: status %d, %s", status, out)
	}
	s.settled(2 * letters)
	t.Logf("%d looks", looks)
	if root {
		if out, status := s.sh("", "qmail-qcheck"); status != 111 || strings.Count(out, "\n") != 1 {
			t.Errorf("somebody: status %d, %q", status, out)
		}
	}
}

// A queue that was copied file by file is made one again, and everything in it arrives,
// once.
func TestQcheckCopy(t *testing.T) {
	s := install(t)
	send := s.start()
	s.joe(".qmail-new", "./Maildir/\n", 0o644)
	id := s.deferred("joe@"+me, "a", "b")
	birth, err := os.Stat(s.path(file("info", id)))
	if err != nil {
		t.Fatal(err)
	}
	send.stop()
	for range 5 {
		s.enter("joe@"+me, []string{"joe-new@" + me}, "Subject: new\n\n")
	}
	must(t, "cp", "-a", s.path("queue"), s.path("copy"))
	must(t, "mv", s.path("queue"), s.path("original"))
	must(t, "mv", s.path("copy"), s.path("queue"))
	out, status := s.qcheck()
	if status != 1 || !strings.Contains(out, "copy: mess has no message with the number of its inode: this queue is a copy\n") {
		t.Errorf("of a copy: status %d\n%s", status, out)
	}
	if out, status := s.qcheck("--repair"); status != 0 || strings.Contains(out, ": left\n") {
		t.Fatalf("the repair: status %d\n%s", status, out)
	}
	names, _ := filepath.Glob(s.path("queue/info/*/*"))
	if len(names) != 1 {
		t.Fatalf("preprocessed are %v", names)
	}
	if fi, err := os.Stat(names[0]); err != nil || !fi.ModTime().Equal(birth.ModTime()) {
		t.Errorf("born at %v, not %v (%v)", fi.ModTime(), birth.ModTime(), err)
	}
	for _, r := range []string{"a", "b"} {
		s.joe(".qmail-"+r, "./Maildir/\n", 0o644)
	}
	s.newLog()
	s.start().Process.Signal(syscall.SIGALRM)
	s.settled(6)
	s.empty()
	if n := len(s.mail("u/joe/Maildir")); n != 7 {
		t.Errorf("%d messages arrived, want 7", n)
	}
}

// damaged is a message of a damaged queue: its text, and whether it can be mended.
type damaged struct {
	text   string
	mended bool
}

// damage lays out a queue in which everything is wrong, and returns its messages.
func (s *suite) damage() []damaged {
	t := s.t
	t.Helper()
	if err := os.RemoveAll(s.path("queue")); err != nil {
		t.Fatal(err)
	}
	must(t, "cp", "-a", filepath.Join(*work, "fresh/queue"), s.path("queue"))
	move := func(from, to int) {
		for _, dir := range []string{"mess", "info", "local", "remote", "bounce", "intd", "todo"} {
			err := os.Rename(s.path(file(dir, from)), s.path(file(dir, to)))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	preprocessed := func(text string) int {
		id := s.mess(text)
		s.put("info", id, "F"+text+"@from\x00")
		s.put("local", id, "Dx\x00T"+text+"@local\x00")
		s.put("remote", id, "T"+text+"@remote\x00")
		s.put("bounce", id, text)
		s.touch(file("info", id), 50*time.Hour)
		s.touch(file("mess", id), 50*time.Hour)
		return id
	}
	a, b := preprocessed("a"), preprocessed("b") // each has the number of the other
	move(a, 1)
	move(b, a)
	move(1, b)
	c := s.mess("c") // in todo, with what a preprocessing had begun
	s.enterByHand(c, "c@from", "c@to")
	s.put("info", c, "Fc@fr")
	s.put("local", c, "Thalf@do")
	move(c, 7777777)
	d := preprocessed("d") // nobody can deliver it
	s.put("local", d, "what?\x00")
	e := preprocessed("e") // one file in another subdirectory, one with a wrong mode
	must(t, "mv", s.path(file("info", e)), s.path("queue/info/"+strconv.Itoa((e+1)%split)+"/"+strconv.Itoa(e)))
	must(t, "chmod", "666", s.path(file("local", e)))
	s.put("info", 99999999, "Forphan@from\x00")
	must(t, "rm", s.path("queue/lock/trigger"))
	return []damaged{{"a", true}, {"b", true}, {"c", true}, {"d", false}, {"e", true}}
}

// texts returns the names, below the queue, of the messages with a text, in whatever
// directory they are.
func (s *suite) texts(text string) (names []string) {
	filepath.WalkDir(s.path("queue"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if b, _ := os.ReadFile(path); strings.HasSuffix(string(b), "Subject: "+text+"\n\n") {
				names = append(names, strings.TrimPrefix(path, s.path("queue")+"/"))
			}
		}
		return nil
	})
	return names
}

// A repair that is killed before any of its changes has every message in one place, and
// the next one finishes.
func TestCrashStatesQcheck(t *testing.T) {
	watch, ok := killat(t)
	if !ok {
		return
	}
	s := install(t)
	n := eachState(t, func(number int) int {
		if (*cold || !root) && number%5 != 0 { // what is warm elsewhere makes no difference to it, nor whose the files are
			return killed
		}
		messages := s.damage()
		cmd := exec.Command(watch, strconv.Itoa(number), s.path("bin/qmail-qcheck"), "--repair")
		cmd.Stdout = s.errors
		result := status(t, cmd)
		for _, m := range messages {
			if names := s.texts(m.text); len(names) != 1 {
				t.Fatalf("killed before change %d: message %s is in %q", number, m.text, names)
			}
		}
		if result == killed {
			if out, status := s.qcheck("--repair"); status != 0 {
				t.Fatalf("after a kill before change %d the repair ends with %d\n%s", number, status, out)
			}
		}
		if out, status := s.qcheck(); status != 0 {
			t.Fatalf("after a kill before change %d and a repair: %s", number, out)
		}
		for _, m := range messages {
			s.mended(m, number)
		}
		return result
	})
	t.Logf("killed before %d changes", n)
	// What is mended can be delivered.
	s.control("smtproutes", ":127.0.0.1:1\n")
	s.start()
	s.wait(" to remote c@to\n")
	s.wait(" to local a@local\n")
}

// mended wants a message to be whole under the number of its inode, or to be out of the
// way.
func (s *suite) mended(m damaged, number int) {
	t := s.t
	t.Helper()
	names := s.texts(m.text)
	if len(names) != 1 {
		t.Fatalf("killed before change %d: in the end message %s is in %q", number, m.text, names)
	}
	if !m.mended {
		if !strings.HasPrefix(names[0], "quarantine/mess.") {
			t.Errorf("killed before change %d: message %s is in %s", number, m.text, names[0])
		}
		return
	}
	id, err := strconv.Atoi(filepath.Base(names[0]))
	var st syscall.Stat_t
	if err != nil || syscall.Stat(s.path(file("mess", id)), &st) != nil || st.Ino != uint64(id) {
		t.Fatalf("killed before change %d: message %s is in %s, inode %d", number, m.text, names[0], st.Ino)
	}
	want := map[string]string{"info": "F" + m.text + "@from\x00", "local": "Dx\x00T" + m.text + "@local\x00", "remote": "T" + m.text + "@remote\x00", "bounce": m.text}
	if m.text == "c" {
		envelope := "u1000\x00p99\x00Fc@from\x00Tc@to\x00"
		want = map[string]string{"todo": envelope, "intd": envelope, "info": "Fc@fr", "local": "Thalf@do"}
	}
	for dir, want := range want {
		if b, err := os.ReadFile(s.path(file(dir, id))); string(b) != want {
			t.Errorf("killed before change %d: %s of message %s is %q, %v", number, dir, m.text, b, err)
		}
	}
}
