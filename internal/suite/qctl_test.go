package suite

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// qmail-qctl and qmail-send, which carries its orders out while mail goes on.

// qctl runs qmail-qctl as root, or as the one user of all, and returns both outputs.
func (s *suite) qctl(args ...string) (out, complaints string, status int) {
	s.t.Helper()
	cmd := exec.Command(s.path("bin/qmail-qctl"), args...)
	cmd.Env = []string{}
	var said strings.Builder
	cmd.Stderr = &said
	b, err := cmd.Output()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		s.t.Fatal(err)
	}
	return string(b), said.String(), cmd.ProcessState.ExitCode()
}

// ordered runs qmail-qctl, which has to do and say what is wanted.
func (s *suite) ordered(want string, args ...string) {
	s.t.Helper()
	out, complaints, status := s.qctl(args...)
	if out != want || complaints != "" || status != 0 {
		s.t.Fatalf("qmail-qctl %s: status %d, %q%q, want %q", strings.Join(args, " "), status, out, complaints, want)
	}
}

// listed is what qmail-qctl says of the messages meant.
type listed struct {
	ID         int
	State      string
	Sender     string
	Due        map[string]int64
	Left, Done int
	Recipients []struct{ Channel, Address string }
	Outcome    string
}

func (s *suite) list(args ...string) (all []listed) {
	s.t.Helper()
	out, complaints, status := s.qctl(append(args, "--json")...)
	if status != 0 {
		s.t.Fatalf("qmail-qctl %s: status %d, %s", strings.Join(args, " "), status, complaints)
	}
	for line := range strings.Lines(out) {
		var l listed
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		all = append(all, l)
	}
	return all
}

// deferred enters a message whose recipients are deferred, and returns its number when
// that has been tried once.
func (s *suite) deferred(sender string, recipients ...string) (id int) {
	s.t.Helper()
	before := strings.Count(s.logged(), ": deferral: ")
	for i, r := range recipients {
		recipients[i] = "joe-" + r + "@" + me
		s.joe(".qmail-"+r, "|exit 111\n", 0o644)
	}
	s.enter(sender, recipients, "Subject: later\n\n")
	eventually(s.t, "deferrals", func() bool {
		log := s.logged()
		return strings.Count(log, ": deferral: ") == before+len(recipients) && strings.HasSuffix(log, "status: local 0/10 remote 0/20\n")
	})
	log := s.logged()
	fmt.Sscan(log[strings.LastIndex(log, "info msg ")+9:], &id)
	return id
}

const heldUntil = 1<<32 - 1

func TestQctlHold(t *testing.T) {
	s := install(t)
	send := s.start()
	id := s.deferred("joe@"+me, "a", "b")
	n := strconv.Itoa(id)
	if l := s.list("list"); len(l) != 1 || l[0].ID != id || l[0].State != "waiting" || l[0].Sender != "joe@"+me || l[0].Left != 2 || l[0].Due["local"] < time.Now().Unix() {
		t.Errorf("list: %+v", l)
	}
	if out, _, _ := s.qctl("show", n); !strings.Contains(out, "\n\tlocal\tjoe-a@me.example\n\tlocal\tjoe-b@me.example\n") {
		t.Errorf("show: %q", out)
	}
	s.ordered(n+": done\n", "hold", n)
	held := func() bool {
		fi, err := os.Stat(s.path(file("local", id)))
		return err == nil && fi.ModTime().Unix() == heldUntil
	}
	if !held() || s.list("list")[0].State != "held" {
		t.Errorf("held: %v, %+v", held(), s.list("list"))
	}
	// Neither ALRM nor requeue moves it, nor a crash.
	send.Process.Signal(syscall.SIGALRM)
	s.ordered(n+": held: nothing but release moves it\n", "requeue", "--all")
	for pid, name := range sighted() {
		if name == "qmail-send" {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	eventually(t, "all programs to go", func() bool { return len(sighted()) == 0 })
	s.excuse(muted, "qmail-send is killed")
	s.newLog()
	send = s.start()
	if _, _, status := s.qctl("list", "--older", "5w"); status != 0 {
		t.Errorf("list of what is old: status %d", status)
	}
	s.inject("x@far.example", "joe@"+me, "Subject: others go on\n\n")
	s.settled(1)
	if log := s.logged(); strings.Contains(log, "msg "+n+" ") || !held() {
		t.Errorf("tried though it is held (%v)", held())
	}
	s.ordered(n+": done\n", "release", "--sender", "JOE@*", "--recipient", "joe-b@*", "--younger", "1h")
	s.wait(": msg " + n + " to local joe-b@me.example\n")
	if log := s.logged(); strings.Count(log, "\nqctl: release msg "+n+" uid "+strconv.Itoa(os.Getuid())+"\n") != 1 {
		t.Errorf("the log is\n%s", log)
	}
	send.stop()
	if held() {
		t.Error("held after it was released")
	}
}

func TestQctlExpireAndDelete(t *testing.T) {
	s := install(t)
	send := s.start()
	expired := strconv.Itoa(s.deferred("joe@"+me, "a", "b"))
	deleted := strconv.Itoa(s.deferred("joe@"+me, "c", "d"))
	s.ordered("", "delete", "--sender", "nobody@*")
	if out, _, _ := s.qctl("delete", "--all", "--dry-run"); strings.Count(out, "would delete\n") != 2 || len(s.list("list")) != 2 {
		t.Errorf("a dry run says %q and leaves %+v", out, s.list("list"))
	}
	s.ordered(deleted+": done\n", "delete", deleted)
	s.ordered(expired+": done\n", "expire", expired)
	if n := s.ended(); n > 1 {
		t.Errorf("%d messages have ended before anything was tried", n)
	}
	s.ordered(expired+": done\n", "requeue", expired)
	s.settled(3) // both and the bounce
	s.empty()
	mail := s.mail("u/joe/Maildir")
	find(t, mail, "\n\n<joe-a@me.example>:\nI'm not going to try again; this message has been in the queue too long.\n\n")
	if log := s.logged(); len(mail) != 1 || strings.Count(log, "end msg "+deleted+"\n") == 0 {
		t.Errorf("%d messages came, want one bounce; the log is\n%s", len(mail), log)
	}
	send.stop()
}

// A message that is being delivered ends that first, and one in todo is preprocessed.
func TestQctlInHand(t *testing.T) {
	s := install(t)
	s.control("concurrencylocal", "1\n")
	send := s.start()
	s.joe(".qmail-slow", "|while test ! -f go; do sleep 0.05; done; exit 111\n", 0o644)
	s.joe(".qmail-fails", "|while test ! -f go; do sleep 0.05; done; exit 100\n", 0o644)
	for _, c := range []struct {
		recipients []string
		mail       int
	}{
		{[]string{"joe-slow@" + me}, 0},                    // straight from todo
		{[]string{"joe-slow@" + me, "joe@" + me}, 0},       // the second has not begun
		{[]string{"joe-fails@" + me, "joe@" + me}, 1},      // what has begun counts: it bounces
		{[]string{"joe-slow@" + me, "you@far.example"}, 0}, // one on each channel
	} {
		os.Remove(s.path("u/joe/go"))
		before, earlier := len(s.mail("u/joe/Maildir")), len(s.logged())
		since := func(text string) {
			eventually(t, text, func() bool { return strings.Contains(s.logged()[earlier:], text) })
		}
		s.control("smtproutes", ":127.0.0.1:1\n")
		s.enter("joe@"+me, c.recipients, "\n")
		since(" to local " + c.recipients[0] + "\n")
		s.inject("joe@"+me, "joe-waits@"+me, "Subject: in todo\n\n") // waits for a free delivery
		eventually(t, "two messages", func() bool { return len(s.list("list")) == 2 })
		if len(c.recipients) == 2 && strings.HasPrefix(c.recipients[1], "you") {
			since(": deferral: ")
		}
		states := map[string]string{}
		for _, l := range s.list("list") {
			states[l.State] = strconv.Itoa(l.ID)
		}
		slow, todo := states["in hand"], states["todo"]
		if slow == "" || todo == "" {
			t.Fatalf("states %v", states)
		}
		s.ordered(slow+": in hand: what is being delivered now still counts\n", "delete", slow)
		s.ordered(todo+": done\n", "hold", todo)
		s.ordered(todo+": done\n", "delete", todo)
		s.joe("go", "", 0o644)
		eventually(t, "the queue to be empty", func() bool { return len(s.queued()) == 0 && strings.HasSuffix(s.logged(), "\n") })
		if mail := len(s.mail("u/joe/Maildir")) - before; mail != c.mail {
			t.Errorf("%v: %d messages came, want %d\n%s", c.recipients, mail, c.mail, s.logged())
		}
	}
	send.stop()
}

// Whatever is wrong is said in one line, and nothing is changed.
func TestQctlRefuses(t *testing.T) {
	s := install(t)
	send := s.start()
	id := s.deferred("joe@"+me, "a", "b")
	n := strconv.Itoa(id)
	before := s.list("list")
	refused := func(wantStatus int, want string, args ...string) {
		t.Helper()
		out, complaints, status := s.qctl(args...)
		if status != wantStatus || out != "" || !strings.HasPrefix(complaints, "qmail-qctl: "+want) || strings.Count(complaints, "\n") != 1 {
			t.Errorf("%v: status %d, %q%q, want %d and %q", args, status, out, complaints, wantStatus, want)
		}
	}
	refused(100, "1: no such message\n", "hold", n, "1")
	refused(100, "1: no such message\n", "show", "1")
	refused(100, `fatal: "12x" is not a message number`, "delete", "12x")
	refused(100, `fatal: "99999999999999999999" is not a message number`, "delete", "99999999999999999999")
	refused(100, "fatal: delete which messages?", "delete")
	refused(100, "fatal: --all goes with no other choice", "delete", "--all", n)
	refused(100, "usage: ", "burn", n)
	refused(100, "fatal: ", "list", "--older", "3 days")
	refused(100, "fatal: ", "list", "--nosuch")
	if after := s.list("list"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("changed from %+v to %+v", before, after)
	}
	if root {
		if out, status := s.sh("", "qmail-qctl delete --all"); status != 111 || strings.Count(out, "\n") != 1 {
			t.Errorf("somebody: status %d, %q", status, out)
		}
	}
	send.stop()
	refused(111, "fatal: qmail-send does not run, or is one that takes no orders: nothing is changed\n", "delete", n)
	out, complaints, status := s.qctl("list")
	if status != 0 || !strings.HasPrefix(out, n+"  waiting  ") || strings.Count(complaints, "\n") != 1 {
		t.Errorf("list offline: status %d, %q%q", status, out, complaints)
	}
	if err := os.Rename(s.path("queue"), s.path("no-queue")); err != nil {
		t.Fatal(err)
	}
	refused(111, "fatal: unable to look into "+s.path("queue"), "list")
}

// Askers that say nothing, or too much, or never listen hold up nobody else for long,
// and mail not at all.
func TestQctlHostile(t *testing.T) {
	s := install(t)
	s.start()
	s.deferred("joe@"+me, "a", "b")
	path := s.path("ctl/send")
	for _, text := range []string{"", "\x00", "Vdelete\x00\x00", "Vlist\x00" + strings.Repeat("i1\x00", 1<<18), strings.Repeat("V", 1<<20)} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(deadline))
		c.Write([]byte(text))
	}
	s.inject("x@far.example", "joe@"+me, "Subject: goes on\n\n")
	s.settled(1)
	if l := s.list("list"); len(l) != 1 { // waits until the silent one is given up
		t.Errorf("list: %+v", l)
	}
	if root {
		fi, err := os.Stat(filepath.Dir(path))
		if err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("%v %v", fi.Mode(), err)
		}
	}
}
