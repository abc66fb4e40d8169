package suite

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quail/internal/fault"
)

// One warm process serves many. Whatever happens to it, the jobs in its hands are put
// off, those of others go on, and what was acknowledged arrives.

var stopped = flag.Duration("stopped", 2*time.Second, "how long the tests keep a program stopped")

// Another recipient whose deliveries run as somebody else, where that can be.
var annUID = pick(64011, os.Getuid())

// way is one that a message takes.
type way struct {
	by string // sendmail, SMTP, or hand: qmail-queue without anybody's help
	to string
}

var (
	toJoe   = way{"sendmail", "joe@" + me}
	toAnn   = way{"sendmail", "ann@" + me}
	toFar   = way{"sendmail", "you@far.example"}
	bySMTP  = way{"SMTP", "joe@" + me}
	byQueue = way{"hand", "joe@" + me}
)

// chaos is a suite in which each kind of program is warm and has done something.
type chaos struct {
	*suite
	far  *host
	port int
	sent int            // messages that were acknowledged
	come map[string]int // what each recipient has to get
}

func newChaos(t testing.TB) *chaos {
	s := install(t)
	c := &chaos{suite: s, far: serve(t, nil), come: map[string]int{}}
	s.control("smtproutes", ":"+c.far.route()+"\n")
	s.control("concurrencylocal", "120\n")
	s.control("concurrencyremote", "120\n")
	s.mkdir("u/ann", 0o755, annUID, joeGID)
	for _, dir := range []string{"", "/tmp", "/new", "/cur"} {
		s.mkdir("u/ann/Maildir"+dir, 0o700, annUID, joeGID)
	}
	s.assign(s.assigned(fmt.Sprintf("=ann:ann:%d:%%[2]d:%%[3]s/u/ann:::\n", annUID)))
	c.start()
	c.port = s.smtpd()
	for _, w := range []way{toJoe, toAnn, toFar, bySMTP} {
		c.must(w)
	}
	c.settled(c.sent)
	return c
}

// submit sends a message. An error means that it was not acknowledged.
func (c *chaos) submit(w way) error {
	const text = "Subject: chaos\n\n"
	switch w.by {
	case "SMTP":
		return submit(c.t, "127.0.0.1", c.port, "", w.to, text)
	case "hand":
		if status := c.queue(strings.NewReader(text), "F\x00T"+w.to+"\x00\x00"); status != 0 {
			return fmt.Errorf("qmail-queue: status %d", status)
		}
		return nil
	}
	if out, status := c.sh(text, "exec sendmail -f '' "+w.to); status == 100 {
		c.t.Errorf("sendmail gives up: %s", out)
	} else if status != 0 {
		return errors.New(out)
	}
	return nil
}

// must sends a message that has to be taken.
func (c *chaos) must(w way) {
	c.t.Helper()
	if err := c.submit(w); err != nil {
		c.t.Fatalf("%v: %v", w, err)
	}
	c.acknowledged(w)
}

func (c *chaos) acknowledged(w way) {
	c.sent++
	c.come[w.to]++
}

// crowd sends messages at once and returns a function that waits for all of them to be
// acknowledged or not.
func (c *chaos) crowd(n int, w way) (wait func() (failed int)) {
	results := make(chan error, n)
	var all sync.WaitGroup
	for range n {
		all.Go(func() { results <- c.submit(w) })
	}
	return func() (failed int) {
		all.Wait()
		close(results)
		for err := range results {
			if err == nil {
				c.acknowledged(w)
			} else {
				failed++
			}
		}
		return failed
	}
}

// arrived counts what a recipient has got.
func (c *chaos) arrived(to string) int {
	switch to {
	case toJoe.to:
		return len(c.mail("u/joe/Maildir"))
	case toAnn.to:
		return len(c.mail("u/ann/Maildir"))
	}
	return c.far.recipients()
}

// all waits until everything has arrived that was acknowledged, and looks whether
// anything has come twice, or once more.
func (c *chaos) all(twice int) {
	c.t.Helper()
	eventually(c.t, "everything to arrive", func() bool {
		return c.ended() >= c.sent || len(c.waiting()) == 0
	})
	eventually(c.t, "nothing but debris to be left in the queue", func() bool { return len(notDebris(c.queued())) == 0 })
	for to, n := range c.come {
		if got := c.arrived(to); got < n || got > n+twice {
			c.t.Errorf("%s has got %d messages, want %d and at most %d more", to, got, n, twice)
		}
	}
	c.noBounces()
}

// process returns the one that runs a program as a user.
func (c *chaos) process(program string, uid int) (pid int) {
	c.t.Helper()
	eventually(c.t, "a "+program, func() bool {
		for p, name := range sighted() {
			st, err := os.Stat(fmt.Sprintf("/proc/%d", p))
			if err == nil && name == program && (uid < 0 || int(st.Sys().(*syscall.Stat_t).Uid) == uid) {
				pid = p
				return true
			}
		}
		return false
	})
	return pid
}

// others are the ways that a program has no part in.
func others(ways ...way) []way {
	if !root { // one user is everybody, and has one qmail-local
		return ways[1:]
	}
	return ways
}

// victim is a program that many share.
type victim struct {
	program string
	uid     int // -1: there is one process
	with    way // what it is shared for
	without []way
}

var victims = []victim{
	{"qmail-local", joeUID, toJoe, others(toAnn, toFar)},
	{"qmail-remote", -1, toFar, []way{toJoe}},
	{"qmail-smtpd", -1, bySMTP, []way{toJoe, toFar}},
	{takesMessages, -1, toJoe, []way{byQueue}},
}

func eachVictim(t *testing.T, do func(t *testing.T, v victim)) {
	for _, v := range victims {
		t.Run(strings.ReplaceAll(v.program, " ", "-"), func(t *testing.T) { do(t, v) })
	}
}

// A program that is stopped stops those who share it, and nobody else; and goes on as
// if nothing had been.
func TestChaosStopped(t *testing.T) {
	if warmOnly(t) {
		return
	}
	const n = 5
	eachVictim(t, func(t *testing.T, v victim) {
		c := newChaos(t)
		pid := c.process(v.program, v.uid)
		before := c.arrived(v.with.to)
		syscall.Kill(pid, syscall.SIGSTOP)
		t.Cleanup(func() { syscall.Kill(pid, syscall.SIGCONT) })
		end := time.Now().Add(*stopped)
		wait := c.crowd(n, v.with)
		own := 0 // of those that go on, for the same recipient
		for _, w := range v.without {
			for range n {
				c.must(w)
			}
			if w.to == v.with.to {
				own += n
			}
			eventually(t, fmt.Sprintf("%v while %s is stopped", w, v.program), func() bool { return c.arrived(w.to) >= c.come[w.to] })
		}
		time.Sleep(time.Until(end)) // it is what is tested
		if got := c.arrived(v.with.to) - before - own; got != 0 {
			t.Errorf("%s is stopped, and %d messages arrive", v.program, got)
		}
		syscall.Kill(pid, syscall.SIGCONT)
		if failed := wait(); failed > 0 {
			t.Errorf("%d clients of %s have not waited", failed, v.program)
		}
		c.all(0)
	})
}

// warmOnly reports whether a test of what jobs share has nothing to look at.
func warmOnly(t testing.TB) bool {
	if *cold {
		t.Log("in a cold run no two jobs share a process")
	}
	return *cold
}

// limit sets one of a process's limits, until the test gives it back.
func (c *chaos) limit(pid int, which string, value int) (giveBack func()) {
	c.t.Helper()
	set := func(value string) (string, error) {
		args := []string{"prlimit", "--pid", strconv.Itoa(pid), "--" + which + "=" + value + ":"}
		if st, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil && root { // root may not have the right
			as := st.Sys().(*syscall.Stat_t)
			args = append([]string{"setpriv", "--reuid", fmt.Sprint(as.Uid), "--regid", fmt.Sprint(as.Gid), "--clear-groups"}, args...)
		}
		return run(args[0], args[1:]...)
	}
	limits, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	title := map[string]string{"nofile": "Max open files", "as": "Max address space", "data": "Max data size"}[which]
	_, rest, found := strings.Cut(string(limits), title)
	if !found {
		c.t.Fatalf("no limits of process %d", pid)
	}
	before := strings.Fields(rest)[0]
	if out, err := set(strconv.Itoa(value)); err != nil {
		c.t.Fatalf("prlimit: %v\n%s", err, out)
	}
	return func() { set(before) } // it may be gone
}

// lowest returns the lowest descriptor that a process has not.
func lowest(pid int) (fd int) {
	for {
		if _, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err != nil {
			return fd
		}
		fd++
	}
}

// descriptors counts those of a process.
func descriptors(pid int) (n int) {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries)
}

// memory returns how much a process has of what /proc/PID/status calls by that name, in
// bytes.
func memory(pid int, name string) (bytes int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(b), "\n"+name+":")
	fmt.Sscan(rest, &bytes)
	return bytes << 10
}

// starve takes something from each of the programs, sends mail through it, gives it
// back, and looks that nothing but time was lost.
func starve(t *testing.T, n int, what string, take func(c *chaos, pid int) (giveBack func())) {
	eachVictim(t, func(t *testing.T, v victim) {
		c := newChaos(t)
		c.rough("a process has too little to work with")
		pid := c.process(v.program, v.uid)
		giveBack := take(c, pid)
		wait := c.crowd(n, v.with)
		for _, w := range v.without {
			c.must(w)
			eventually(t, fmt.Sprintf("%v while %s has no %s", w, v.program, what), func() bool { return c.arrived(w.to) >= c.come[w.to] })
		}
		failed := wait()
		eventually(t, "an attempt at each message", func() bool {
			return len(c.outcomes()[v.with.to]) >= c.come[v.with.to]
		})
		giveBack()
		alive := syscall.Kill(pid, 0) == nil
		t.Logf("%s without %s: %d of %d not acknowledged, %d deferrals; the process lives: %v",
			v.program, what, failed, n, strings.Count(c.logged(), ": deferral: "), alive)
		c.must(v.with)
		for range failed { // as any client would, later
			c.must(v.with)
		}
		c.again()
		c.all(n)
	})
}

// again has what was deferred tried until nothing is left.
func (c *chaos) again() {
	for _, p := range c.processes {
		if p.isSend {
			p.again(c.suite, c.sent)
		}
	}
}

// A qmail-queued without a descriptor used to let those who called wait until somebody
// hung up whose connection was idle: with tcpserver's qmail-smtpd a quarter of an hour.
func TestChaosDescriptors(t *testing.T) {
	if warmOnly(t) {
		return
	}
	for _, more := range []int{0, 4} {
		starve(t, 20, fmt.Sprintf("descriptors but %d", more), func(c *chaos, pid int) func() {
			return c.limit(pid, "nofile", lowest(pid)+more)
		})
	}
}

func TestChaosMemory(t *testing.T) {
	if warmOnly(t) {
		return
	}
	starve(t, 100, "address space", func(c *chaos, pid int) func() {
		return c.limit(pid, "as", memory(pid, "VmSize"))
	})
	starve(t, 100, "data", func(c *chaos, pid int) func() {
		return c.limit(pid, "data", memory(pid, "VmData"))
	})
}

// One job that panics is put off; those that share its process are not touched. The
// programs are built with the tag fault, and panic where fault.Word asks for it.
func TestChaosPanic(t *testing.T) {
	if warmOnly(t) {
		return
	}
	faulty := filepath.Join(*work, "faulty")
	must(t, "make", "-C", "../..", "--no-print-directory", "build", "QMAIL="+home, "BIN="+faulty, "TAGS=-tags fault")
	s := install(t)
	for _, program := range []string{"qmail-local", "qmail-remote", "qmail-smtpd", "qmail-queued"} {
		file := s.path("bin/" + program)
		must(t, "cp", filepath.Join(faulty, program), file+".new")
		must(t, "sh", "-c", `chmod --reference="$0" "$0.new" && chown --reference="$0" "$0.new" && mv "$0.new" "$0"`, file)
	}
	far := serve(t, nil)
	s.control("rcpthosts", me+"\nfar.example\n")
	s.control("smtproutes", ":"+far.route()+"\n")
	s.joe(".qmail-default", "./Maildir/\n", 0o644)
	s.start()
	port := s.smtpd()
	held := dial(t, port) // a session that goes on while others crash
	io.WriteString(held, smtpMail)
	for _, c := range []struct{ to, report string }{
		{"joe-" + fault.Word + "@" + me, "internal_error_at_"},
		{fault.Word + "@far.example", ""},
	} {
		wait := s.together(t, c.to, "joe-x@"+me, "you@far.example")
		if got := s.outcome(c.to, 1); !strings.HasPrefix(got, "deferral: ") || !strings.Contains(got, c.report) {
			t.Errorf("to %s: %q, want a deferral", c.to, got)
		}
		wait()
	}
	if got := talk(t, port, "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<"+fault.Word+"@"+me+">\r\n"+smtpQuit); strings.Contains(got, "\r\n5") || strings.HasSuffix(got, smtpBye) {
		t.Errorf("where qmail-smtpd panics the client is told %q", got)
	}
	if root {
		cmd := exec.Command(s.path("bin/sendmail"), "-f", "", "joe@"+me)
		cmd.Stdin = strings.NewReader("Subject: panic\n\n")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: fault.UID, Gid: fault.UID}}
		if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 111 {
			t.Errorf("where qmail-queued panics sendmail says %q, %v", out, err)
		}
	}
	io.WriteString(held, "Subject: held\r\n\r\n.\r\n"+smtpQuit)
	if got, _ := io.ReadAll(held); !strings.HasSuffix(reQueued.ReplaceAllString(string(got), "250 queued"), smtpQueued+smtpBye) {
		t.Errorf("the session beside it is told %q", got)
	}
	s.outcome("joe@"+me, 1)
	s.noBounces()
}

// together sends messages at once to all of these, the first of whom has none, and
// returns a function that waits for the others'.
func (s *suite) together(t testing.TB, first string, others ...string) (wait func()) {
	t.Helper()
	before := s.outcomes()
	s.enter("", append([]string{first}, others...), "Subject: panic\n\n")
	return func() {
		t.Helper()
		for _, to := range others {
			if got := s.outcome(to, len(before[to])+1); !strings.HasPrefix(got, "success: ") {
				t.Errorf("beside %s: to %s: %q", first, to, got)
			}
		}
	}
}
