package send

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/delivery"
	"quail/internal/nowait"
	"quail/internal/prog"
	"quail/internal/queue"
)

// testSender is a qmail-send with a queue, without spawners, whose turns the test
// takes itself.
type testSender struct {
	*sender
	t     *testing.T
	lines bytes.Buffer
	clock int64
}

func newTestSender(t *testing.T) *testSender {
	t.Helper()
	dir := queue.Dir(t.TempDir())
	dirs := []queue.Name{"pid", "intd", "todo", "bounce", "lock"}
	for _, split := range []string{"mess", "info", "local", "remote"} {
		dirs = append(dirs, queue.Splits(split)...)
	}
	for _, d := range dirs {
		if err := os.MkdirAll(dir.Path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := &testSender{t: t, clock: 1767588414}
	s.sender = newSender(&prog.Process{Now: func() time.Time { return time.Unix(s.clock, 0).UTC() }}, dir)
	s.log.w = &s.lines
	s.settings, s.now = mustRead(t, map[string]string{"me": "me.example\n"}), s.clock
	s.todo.due, s.debris.due = math.MaxInt64, math.MaxInt64 // until the test says so
	for _, c := range queue.Channels {
		s.channels[c] = &channel{c: c, limit: 2, attempts: make([]*attempt, 2), alive: true}
	}
	s.cleaning(func(what string, id queue.ID) byte {
		files := []queue.Name{id.Intd(), id.Mess()}
		if what == "todo" {
			files[1] = id.Todo()
		}
		for _, n := range files {
			s.dir.Remove(n)
		}
		return delivery.CleanDone
	})
	return s
}

// cleaning starts a qmail-clean that answers each request as told; with 0 it goes.
func (s *testSender) cleaning(answer func(what string, id queue.ID) byte) {
	s.t.Helper()
	answers, clean := s.pipe()
	requests, toClean := s.pipe()
	s.clean = cleaner{requests: toClean}
	go s.readAnswers(answers)
	go func() {
		defer clean.Close()
		defer requests.Close()
		r := bufio.NewReader(requests)
		for {
			request, err := r.ReadString(0)
			what, number, _ := strings.Cut(strings.TrimSuffix(request, "\x00"), "/")
			id, _ := queue.ParseID(number)
			if err != nil {
				return
			}
			a := answer(what, id)
			if a == 0 {
				return
			}
			clean.Write([]byte{a})
		}
	}()
}

func (s *testSender) pipe() (r, w *os.File) {
	s.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// event runs the next event, and what others are to be told of it.
func (s *testSender) event() {
	s.t.Helper()
	select {
	case e := <-s.events:
		e()
	case <-time.After(10 * time.Second):
		s.t.Fatal("nothing happens")
	}
	s.askClean()
}

// settled runs events until nothing is under way but deliveries.
func (s *testSender) settled() {
	s.t.Helper()
	s.askClean()
	for s.preparing > 0 || len(s.clean.waiting) > 0 {
		s.event()
	}
}

// file writes a file of the queue.
func (s *testSender) file(n queue.Name, contents string) {
	s.t.Helper()
	if err := os.WriteFile(s.dir.Path(n), []byte(contents), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *testSender) read(n queue.Name) string {
	b, err := os.ReadFile(s.dir.Path(n))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// said returns the log since the last call.
func (s *testSender) said() string {
	s.log.flush()
	defer s.lines.Reset()
	return s.lines.String()
}

// queueing has bounces queued by a shell script in a home of its own.
func (s *testSender) queueing(script string) {
	s.t.Helper()
	before := conf.Home
	s.t.Cleanup(func() { conf.Home = before })
	conf.Home = s.t.TempDir()
	if err := os.WriteFile(filepath.Join(conf.Home, "script"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.p.Env = prog.Env{"QMAILQUEUE=./script", "PATH=/bin:/usr/bin"}
}

// begin starts a delivery of message 24 to joe@me.example on the local channel.
func (s *testSender) begin() *channel {
	s.t.Helper()
	const id queue.ID = 24
	s.file(id.Info(), "Fsender@far.example\x00")
	s.file(id.Recipients(queue.Local), "Tjoe@me.example\x00")
	ch := s.channels[queue.Local]
	ch.due.add(entry{s.now, id})
	s.passStep(ch) // the recipient
	s.passStep(ch) // the end of the pass
	if ch.used != 1 || ch.pass != nil {
		s.t.Fatalf("%d deliveries under way, pass %v", ch.used, ch.pass)
	}
	s.said()
	return ch
}

// A spawner that reports a delivery again while the first report still has to be
// noted cannot make qmail-send lose its books.
func TestReportTwice(t *testing.T) {
	s := newTestSender(t)
	ch := s.begin()
	if err := os.Remove(s.dir.Path("bounce")); err != nil {
		t.Fatal(err)
	}
	failure := delivery.Report{Letter: delivery.Permanent, Text: "no\n"}
	s.report(ch, failure)
	s.report(ch, delivery.Report{Letter: delivery.Success})
	if got, want := s.said(), "delivery 1: failure: no/\nalert: unable to append to bounce message; HELP! sleeping...\n"+
		"warning: internal error: delivery report out of range\n"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
	if err := os.Mkdir(s.dir.Path("bounce"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.now += retryDisk - 1
	s.endPauses()
	if !s.busy() {
		t.Error("nothing is under way though a failure still has to be noted")
	}
	s.now++
	s.endPauses()
	if got, want := s.read(queue.ID(24).Bounce()), "<joe@me.example>:\nno\n\n"; got != want {
		t.Errorf("bounce %q, want %q", got, want)
	}
	if s.busy() || s.jobs != 0 || len(s.finished) != 1 {
		t.Errorf("after the report: busy %v, %d jobs, finished %v", s.busy(), s.jobs, s.finished)
	}
}

// A pause must not last longer because the clock has been set back.
func TestPauseAndClock(t *testing.T) {
	s := newTestSender(t)
	ch := s.begin()
	if err := os.Remove(s.dir.Path("bounce")); err != nil {
		t.Fatal(err)
	}
	s.report(ch, delivery.Report{Letter: delivery.Permanent, Text: "no\n"})
	if err := os.Mkdir(s.dir.Path("bounce"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.now -= 1000000
	s.endPauses()
	if ch.used != 0 {
		t.Error("the failure waits for the old time to come again")
	}
	c := scan{dirs: []queue.Name{"nosuch"}}
	if _, ok := s.next(&c); ok || s.nextStep(&c) != s.now+retryDisk {
		t.Errorf("a walk that cannot go on goes on in %d seconds", s.nextStep(&c)-s.now)
	}
	s.now -= 1000000
	if at := s.nextStep(&c); at != s.now {
		t.Errorf("with the clock set back a walk goes on in %d seconds", at-s.now)
	}
	if s.bounces.underway, s.bounces.since = 1, s.now+1000000; s.todoHeldUntil() > s.now {
		t.Error("with the clock set back a bounce holds up todo")
	}
}

// Where the directory of a walk cannot be opened the walk goes on from there.
func TestWalkKeepsItsPlace(t *testing.T) {
	s := newTestSender(t)
	c := scan{dirs: []queue.Name{"mess/0", "mess/nosuch", "mess/1"}}
	for range 10 {
		s.next(&c)
	}
	if got, want := s.said(), strings.Repeat("alert: unable to opendir mess/nosuch, sleeping...\n", 9); got != want || len(c.dirs) != 2 {
		t.Errorf("log %q, want %q; directories left %q", got, want, c.dirs)
	}
}

// A message is not ended by somebody who cannot tell whether it was bounced to
// whom.
func TestFinishWithoutSender(t *testing.T) {
	s := newTestSender(t)
	const id queue.ID = 24
	for _, info := range []string{"", "Fa@b", "Xa\x00"} {
		s.finished = nil
		s.file(id.Info(), info)
		s.finish(id)
		if exists, _ := s.dir.Exists(id.Info()); !exists || len(s.finished) != 1 || s.finished[0].due != s.now+retrySystem || s.said() != "" {
			t.Errorf("info %q: there %v, finished %v, log %q", info, exists, s.finished, s.said())
		}
	}
	s.finished = nil
	s.file(id.Info(), "Fa@b\x00")
	s.finish(id)
	if exists, _ := s.dir.Exists(id.Info()); exists || s.said() != "end msg 24\n" {
		t.Error("a message with a sender did not end")
	}
}

// While a message's bounce is on its way the message may be found finished once
// more, by an entry that trouble with a file has left. It must not be answered, or
// ended, twice.
func TestOneBounceAMessage(t *testing.T) {
	s := newTestSender(t)
	s.queueing("cat >/dev/null; echo x >>ran")
	const id queue.ID = 24
	s.file(id.Info(), "Fa@b\x00")
	s.file(id.Mess(), "x\n")
	s.file(id.Bounce(), "<a>:\nno\n\n")
	s.finish(id)
	s.bounceStep()
	s.finish(id)
	s.bounceStep()
	if s.bounces.underway != 1 {
		t.Fatalf("%d bounces are under way", s.bounces.underway)
	}
	s.event()
	s.settled()
	s.finish(id)
	s.bounceStep()
	ran, _ := os.ReadFile(filepath.Join(conf.Home, "ran"))
	log := s.said()
	if string(ran) != "x\n" || strings.Count(log, "end msg 24\n") != 1 || strings.Count(log, "bounce msg 24 ") != 1 || s.busy() {
		t.Errorf("queued %q, log %q", ran, log)
	}
}

// Bounces go one after another, but one that hangs does not stop the others.
func TestBouncesThatHang(t *testing.T) {
	s := newTestSender(t)
	s.queueing("cat >/dev/null; read x <fifo; exit 53")
	fifo := filepath.Join(conf.Home, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for id := queue.ID(1); id <= 2*maxBounces; id++ {
		s.file(id.Info(), "Fa@b\x00")
		s.file(id.Mess(), "x\n")
		s.file(id.Bounce(), "<a>:\nno\n\n")
		s.finish(id)
		s.bounceStep()
	}
	if s.bounces.underway != 1 || s.todoHeldUntil() <= s.now {
		t.Errorf("%d bounces at once, todo held until %d", s.bounces.underway, s.todoHeldUntil()-s.now)
	}
	s.now += bouncePatience
	for range 3 * maxBounces {
		s.bounceStep()
	}
	if s.bounces.underway != maxBounces || s.todoHeldUntil() > s.now {
		t.Errorf("%d bounces at once, want %d; todo held until %d", s.bounces.underway, maxBounces, s.todoHeldUntil()-s.now)
	}
	const last queue.ID = 100 // needs no bounce
	s.file(last.Info(), "Fa@b\x00")
	s.finish(last)
	s.settled()
	if got := s.said(); got != "end msg 100\n" {
		t.Errorf("log %q", got)
	}
	// Opened for both, the fifo never ends for those who read it.
	f, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range maxBounces {
		f.WriteString("go\n")
		s.event()
	}
	if n := strings.Count(s.said(), "warning: "+bounceTrouble+"\n"); n != maxBounces || s.busy() {
		t.Errorf("%d bounces failed, want %d", n, maxBounces)
	}
}

// A lifetime beyond all numbers is not over at once.
func TestEndlessLifetime(t *testing.T) {
	s := newTestSender(t)
	s.settings.lifetime = math.MaxInt64
	ch := s.begin()
	s.report(ch, delivery.Report{Letter: delivery.Temporary, Text: "later\n"})
	if got := s.said(); !strings.HasPrefix(got, "delivery 1: deferral: later/\n") {
		t.Errorf("log %q", got)
	}
}

// What cannot be opened is named: the recipients or the message's info.
func TestTroubleOpening(t *testing.T) {
	s := newTestSender(t)
	const id queue.ID = 24
	ch := s.channels[queue.Remote]
	for _, want := range []string{"remote/1/24", "info/1/24"} {
		ch.due.add(entry{s.now, id})
		s.passStep(ch)
		if got := s.said(); got != "warning: trouble opening "+want+"; will try again later\n" {
			t.Errorf("log %q, want %s in it", got, want)
		}
		ch.due = nil
		s.file(id.Recipients(queue.Remote), "Tx@y\x00")
	}
}

// A spawner that reports deliveries whose requests it has not read cannot make
// qmail-send wait for it.
func TestSpawnerThatDoesNotRead(t *testing.T) {
	s := newTestSender(t)
	const id queue.ID = 24
	s.file(id.Info(), "Fa@b\x00")
	s.file(id.Recipients(queue.Local), strings.Repeat("Tjoe@me.example\x00", 20))
	ch := s.channels[queue.Local]
	ch.due.add(entry{s.now, id})
	for range 20 {
		s.deliverStep(ch)
		if ch.used > 0 {
			s.report(ch, delivery.Report{Letter: delivery.Success})
		}
	}
	if s.deliveries != uint64(ch.limit) || ch.canStart() {
		t.Errorf("%d deliveries started, can start: %v", s.deliveries, ch.canStart())
	}
	// Nor with requests that are larger than a pipe: the owner of the books goes on, and
	// is told when there is room.
	r, w := s.pipe()
	var err error
	if ch.commands, err = nowait.Polled(w); err != nil {
		t.Fatal(err)
	}
	defer ch.commands.Close()
	ch.requests = append(ch.requests, bytes.Repeat([]byte("x"), 1<<17)...)
	want := len(ch.requests)
	s.request(ch)
	s.request(ch)
	if ch.canStart() || !ch.writing {
		t.Error("a spawner that does not read has room for requests")
	}
	if n, err := io.ReadFull(r, make([]byte, want)); err != nil {
		t.Errorf("%d bytes of requests, want %d: %v", n, want, err)
	}
	s.event()
	if !ch.canStart() || ch.writing || ch.unread != 0 {
		t.Errorf("woken up without need: %d requests are still to be read", ch.unread)
	}
}

// ALRM makes everything due at the time when it comes, not when qmail-send went to
// sleep: that time goes to disk.
func TestAlarmTime(t *testing.T) {
	s := newTestSender(t)
	s.debris.due, s.todo.due = s.clock+1000, s.clock+1000
	ch := s.channels[queue.Local]
	ch.due.add(entry{s.clock + 1000, 24})
	arrived := make(chan bool)
	go func() {
		s.events <- func() { s.tryEverything(); close(arrived) }
	}()
	before := s.p.Now
	s.p.Now = func() time.Time { now := before(); s.clock += 50; return now } // time goes on between two looks
	s.wait()
	<-arrived
	if want := int64(1767588414 + 50); ch.due[0].due != want {
		t.Errorf("due at %d, want %d", ch.due[0].due, want)
	}
}
