package suite

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quail/internal/localsocket"
	"quail/internal/prog"
	client "quail/internal/submit"
)

// queueSocket is where qmail-queued listens, in a home.
const queueSocket = "run/queue"

// queuedAlone runs qmail-queued without qmail-send, as the user that it has to be, and
// waits until it can be called.
func (s *suite) queuedAlone() *process {
	s.t.Helper()
	s.haveQueued()
	if root {
		inside := s.inside
		defer func() { s.inside = inside }()
		s.inside = []string{"setpriv", "--reuid", account(s.t, "passwd", "qmailq"), "--regid", account(s.t, "group", "qmail"), "--clear-groups"}
	}
	p := s.spawn(s.errors, nil, "bin/qmail-queued")
	eventually(s.t, "qmail-queued to listen", s.called)
	return p
}

// haveQueued installs qmail-queued where all is run cold, for tests that are about it.
func (s *suite) haveQueued() {
	if *cold {
		must(s.t, "install", "-m", "0711", filepath.Join(built, "qmail-queued"), s.path("bin/qmail-queued"))
	}
}

// called reports whether somebody listens at the queue's socket.
func (s *suite) called() bool {
	c, err := localsocket.Dial(s.path(queueSocket), false)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// serving returns the process that takes messages for that one, once there is one.
func (s *suite) serving(p *process) int {
	s.t.Helper()
	pid := 0
	eventually(s.t, "qmail-queued to serve", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.Process.Pid, p.Process.Pid))
		if pid, _ = strconv.Atoi(strings.TrimSpace(string(b))); pid == 0 {
			out, _ := exec.Command("pgrep", "-P", strconv.Itoa(p.Process.Pid)).Output()
			pid, _ = strconv.Atoi(strings.TrimSpace(string(out)))
		}
		return pid != 0
	})
	return pid
}

// entered returns what the queue holds of each message in S4, numbers masked, and
// removes it.
func (s *suite) entered() []string {
	s.t.Helper()
	var out []string
	names, _ := filepath.Glob(s.path("queue/todo/*"))
	for _, todo := range names {
		id := filepath.Base(todo)
		mess, _ := filepath.Glob(s.path("queue/mess/*/" + id))
		files := []string{todo, s.path("queue/intd/" + id)}
		files = append(files, mess...)
		var all bytes.Buffer
		for _, f := range files {
			b, err := os.ReadFile(f)
			fi, serr := os.Lstat(f)
			if err != nil || serr != nil {
				s.t.Fatal(err, serr)
			}
			st := fi.Sys().(*syscall.Stat_t)
			fmt.Fprintf(&all, "%v uid %d links %d: %q\n", fi.Mode(), st.Uid, st.Nlink, b)
			os.Remove(f)
		}
		out = append(out, jobNumber.ReplaceAllString(mask(all.String()), "p#\\x00"))
	}
	slices.Sort(out) // their numbers say nothing
	return out
}

var jobNumber = regexp.MustCompile(`p\d+\\x00`)

// What qmail-queued leaves in the queue is what qmail-queue leaves there.
func TestQueuedFiles(t *testing.T) {
	s := install(t)
	send := func() []string {
		s.inject("x@"+me, "joe@"+me, "Subject: one\n\nno last line feed\x00\xff")
		s.inject("", strings.Repeat("a", 900)+"@far.example", "Subject: two\n\n"+strings.Repeat("0123456789abcde\n", 100000))
		return s.entered()
	}
	cold := send()
	p := s.queuedAlone()
	called := send()
	p.stop()
	if len(cold) != 2 || fmt.Sprint(cold) != fmt.Sprint(called) {
		t.Errorf("by qmail-queue:\n%.3000s\nby qmail-queued:\n%.3000s", cold, called)
	}
	if code := p.ProcessState.ExitCode(); code != 0 {
		t.Errorf("qmail-queued exited with %d", code)
	}
	if b, _ := os.ReadFile(s.errors.Name()); !strings.Contains(string(b), "qmail-queued: jobs: 2 done, 0 refused, 0 in hand") {
		t.Errorf("qmail-queued said %q", b)
	}
	if s.called() {
		t.Error("somebody listens still")
	}
}

// Without its bit, or where nobody gets rights by it, qmail-queue has qmail-queued do
// its work.
func TestQueueWithoutItsBit(t *testing.T) {
	s := install(t)
	s.excuse(queuing, "it is what is tested")
	if root {
		must(t, "rm", s.path("bin/qmail-queue"))
		must(t, "install", "-m", "0755", filepath.Join(built, "qmail-queue"), s.path("bin/qmail-queue"))
	}
	const queue = "exec 4>&1; printf 'Fx@y\\0Tjoe@" + me + "\\0\\0' >/tmp/quail-envelope-$$; exec bin/qmail-queue 1</tmp/quail-envelope-$$"
	command := "cd " + home + "; " + queue
	if root { // else whoever we are is the queue's owner
		if _, status := s.sh("text\n", command); status != prog.StatusTemporary {
			t.Errorf("without qmail-queued: status %d", status)
		}
	}
	s.queuedAlone()
	if out, status := s.sh("text\n", command); status != 0 {
		t.Errorf("status %d, %s", status, out)
	}
	if got := s.entered(); len(got) != 1 || !strings.Contains(got[0], "text") {
		t.Errorf("the queue has %q", got)
	}
	for envelope, want := range map[string]int{"Fx@y\\0": 54, "Xx@y\\0\\0": 91} {
		if _, status := s.sh("text\n", strings.ReplaceAll(command, "Fx@y\\0Tjoe@"+me+"\\0\\0", envelope)); status != want {
			t.Errorf("envelope %q: status %d, want %d", envelope, status, want)
		}
	}
	names, _ := filepath.Glob("/tmp/quail-envelope-*")
	for _, n := range names {
		os.Remove(n)
	}
}

// Killed again and again under load, qmail-queued comes back, and has lost nothing that
// it had acknowledged.
func TestQueuedKilled(t *testing.T) {
	s := install(t)
	s.rough("it is killed")
	p := s.queuedAlone()
	stop := make(chan struct{})
	var mu sync.Mutex
	acknowledged, failed := map[string]bool{}, 0
	var all sync.WaitGroup
	for number := range 20 {
		all.Add(1)
		go func() {
			defer all.Done()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				sender := fmt.Sprintf("c%dn%d@%s", number, n, me)
				m, err := client.Open(&prog.Process{UID: os.Getuid(), Warm: true, Walled: true, Stderr: s.errors})
				if err != nil {
					t.Error(err)
					return
				}
				io.WriteString(m, "Subject: "+sender+"\n\n"+strings.Repeat("0123456789abcde\n", 256))
				m.From(sender)
				m.To("joe@" + me)
				r := m.Close()
				mu.Lock()
				if r.OK() {
					acknowledged[sender] = true
				} else {
					failed++
				}
				mu.Unlock()
				if r.Permanent() {
					t.Errorf("%s: %s", sender, r)
				}
				if !r.OK() {
					time.Sleep(time.Millisecond)
				}
			}
		}()
	}
	for range 5 {
		pid := s.serving(p)
		mu.Lock()
		before := len(acknowledged)
		mu.Unlock()
		eventually(t, "messages to be taken", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acknowledged) > before+50
		})
		syscall.Kill(pid, syscall.SIGKILL)
		eventually(t, "it to be gone", func() bool { return syscall.Kill(pid, 0) != nil })
	}
	close(stop)
	all.Wait()
	p.stop()
	found := map[string]bool{}
	names, _ := filepath.Glob(s.path("queue/todo/*"))
	for _, todo := range names {
		b, err := os.ReadFile(todo)
		if err != nil {
			t.Fatal(err)
		}
		sender := strings.TrimPrefix(strings.Split(string(b), "\x00")[2], "F")
		mess, _ := filepath.Glob(s.path("queue/mess/*/" + filepath.Base(todo)))
		text, err := os.ReadFile(strings.Join(mess, ""))
		if err != nil || !strings.HasSuffix(string(text), "\nSubject: "+sender+"\n\n"+strings.Repeat("0123456789abcde\n", 256)) {
			t.Errorf("%s: %d bytes of text, %v", sender, len(text), err)
		}
		found[sender] = true
	}
	for sender := range acknowledged {
		if !found[sender] {
			t.Errorf("%s was acknowledged and is lost", sender)
		}
	}
	t.Logf("%d acknowledged, %d found, %d temporary failures", len(acknowledged), len(found), failed)
}

// It ends when qmail-send does, however that ends, and the next one takes its place,
// also of one that was killed.
func TestQueuedEndsWithSend(t *testing.T) {
	s := install(t)
	s.rough("it is killed")
	s.haveQueued()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		send := s.start()
		eventually(t, "qmail-queued to listen", s.called)
		send.Process.Signal(signal)
		<-send.done
		eventually(t, "qmail-queued to end", func() bool { return !s.called() })
	}
	// Killed as a whole it leaves its socket behind.
	p := s.queuedAlone()
	pid := s.serving(p)
	p.Process.Kill()
	<-p.done
	syscall.Kill(pid, syscall.SIGKILL)
	if _, err := os.Lstat(s.path(queueSocket)); err != nil {
		t.Fatal(err)
	}
	s.excuse(queuing, "the socket is there and nobody listens")
	s.inject("x@"+me, "joe@"+me, "Subject: nobody listens\n\n")
	// And of two, the second one waits until the first one is gone.
	first := s.queuedAlone()
	second := s.queuedAlone()
	s.serving(first)
	first.stop()
	eventually(t, "the second one to listen", s.called)
	s.serving(second)
	s.inject("x@"+me, "joe@"+me, "Subject: the second one listens\n\n")
	if got := s.entered(); len(got) != 2 {
		t.Errorf("the queue has %q", got)
	}
}
