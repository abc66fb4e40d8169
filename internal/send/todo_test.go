package send

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"quail/internal/delivery"
	"quail/internal/nowait"
	"quail/internal/queue"
)

// queued puts a message into todo.
func (s *testSender) queued(id queue.ID, recipients ...string) {
	s.t.Helper()
	s.file(id.Mess(), "text\n")
	s.file(id.Intd(), "u1\x00p2\x00Fa@b\x00T"+strings.Join(recipients, "\x00T")+"\x00")
	if err := os.Link(s.dir.Path(id.Intd()), s.dir.Path(id.Todo())); err != nil {
		s.t.Fatal(err)
	}
}

// takeUp has everything in todo taken up.
func (s *testSender) takeUp() {
	s.t.Helper()
	s.triggered = true
	for s.triggered || s.todo.open() {
		s.todoStep()
		s.settled()
	}
}

// files lists what there is of a message.
func (s *testSender) files(id queue.ID) string {
	var out []string
	for _, n := range []queue.Name{id.Mess(), id.Intd(), id.Todo(), id.Info(), id.Recipients(queue.Local), id.Recipients(queue.Remote), id.Bounce()} {
		if exists, _ := s.dir.Exists(n); exists {
			out = append(out, string(n[:strings.IndexByte(string(n), '/')]))
		}
	}
	return strings.Join(out, " ")
}

// Every outcome of a delivery straight from todo leaves log, files and schedule as if
// the message had been preprocessed before.
func TestStraight(t *testing.T) {
	const begin = "new msg 24\ninfo msg 24: bytes 5 from <a@b> qp 2 uid 1\n" +
		"starting delivery 1: msg 24 to local joe@me.example\nstatus: local 1/2 remote 0/2\n"
	const free = "status: local 0/2 remote 0/2\n"
	for _, c := range []struct {
		report delivery.Report
		log    string
		files  string
		bounce string
	}{
		{delivery.Report{Letter: 'K', Text: "did\n"}, "delivery 1: success: did/\n" + free + "end msg 24\n", "", ""},
		{delivery.Report{Letter: 'Z', Text: "wait\n"}, "delivery 1: deferral: wait/\n" + free, "mess info local", ""},
		{delivery.Report{Letter: 'x'}, "delivery 1: report mangled, will defer\n" + free, "mess info local", ""},
		{delivery.Report{Letter: 'D', Text: "no\n"}, "delivery 1: failure: no/\n" + free, "mess info bounce", "<joe@me.example>:\nno\n\n"},
	} {
		s := newTestSender(t)
		const id queue.ID = 24
		s.queued(id, "joe@me.example")
		s.takeUp()
		ch := s.channels[queue.Local]
		s.deliverStep(ch)
		if got := s.said(); got != begin {
			t.Errorf("log %q, want %q", got, begin)
		}
		if got := s.files(id); got != "mess intd todo" {
			t.Errorf("while the message is delivered there are %q", got)
		}
		s.takeUp() // must not be taken again
		started := s.now
		s.now += 50 // a long delivery
		s.report(ch, c.report)
		if !s.busy() {
			t.Error("nothing is under way though the message is not settled")
		}
		s.settled()
		if got := s.said(); got != c.log {
			t.Errorf("%c: log %q, want %q", c.report.Letter, got, c.log)
		}
		if got := s.files(id); got != c.files {
			t.Errorf("%c: left %q, want %q", c.report.Letter, got, c.files)
		}
		if s.busy() || s.jobs != 0 || len(s.taken) != 0 {
			t.Errorf("%c: busy %v, %d jobs, taken %v", c.report.Letter, s.busy(), s.jobs, s.taken)
		}
		switch {
		case c.report.Letter == 'K':
			continue
		case c.bounce != "":
			if got := s.read(id.Bounce()); got != c.bounce || len(s.finished) != 1 || len(ch.due) != 0 {
				t.Errorf("bounce %q, finished %v, due %v", got, s.finished, ch.due)
			}
		case len(ch.due) != 1 || ch.due[0] != entry{started + 100, id}:
			t.Errorf("%c: due %v, want %d", c.report.Letter, ch.due, started+100)
		}
		if info, err := s.dir.ReadInfo(id); err != nil || info.Sender != "a@b" || info.Birth.Unix() != started {
			t.Errorf("%c: info %+v, %v, want it born at %d", c.report.Letter, info, err, started)
		}
	}
}

// ALRM makes a message due whose deferral is logged, also while its files are still
// being written. It used to be lost on it.
func TestStraightAlarm(t *testing.T) {
	for _, alarm := range []bool{false, true} {
		s := newTestSender(t)
		s.queued(24, "joe@me.example")
		if alarm {
			s.tryEverything() // too early to matter
		}
		s.takeUp()
		ch := s.channels[queue.Local]
		s.deliverStep(ch)
		s.report(ch, delivery.Report{Letter: delivery.Temporary, Text: "wait\n"})
		want := s.now + 100
		if alarm {
			s.tryEverything()
			want = s.now
		}
		s.settled()
		if len(ch.due) != 1 || ch.due[0].due != want {
			t.Errorf("alarm %v: due %v, want %d", alarm, ch.due, want)
		}
	}
}

// The recipient goes where it was routed when the message was taken up, and a sender
// for each recipient is made as ever.
func TestStraightAddresses(t *testing.T) {
	s := newTestSender(t)
	const id queue.ID = 24
	s.settings = mustRead(t, map[string]string{"me": "me.example\n", "virtualdomains": "v.example:alice\n"})
	s.queued(id, "joe@v.example")
	s.file(id.Todo(), "u1\x00p2\x00Fowner-@h-@[]\x00Tjoe@v.example\x00")
	s.takeUp()
	s.settings.routes.VirtualDomains = nil // HUP
	ch := s.channels[queue.Local]
	s.deliverStep(ch)
	if got, want := string(ch.requests), "\x001/24\x00owner-alice-joe=v.example@h\x00alice-joe@v.example\x00"; got != want {
		t.Errorf("request %q, want %q", got, want)
	}
	s.report(ch, delivery.Report{Letter: delivery.Temporary})
	s.settled()
	if got := s.read(id.Recipients(queue.Local)); got != "Talice-joe@v.example\x00" {
		t.Errorf("recipients %q", got)
	}
	if got := s.read(id.Info()); got != "Fowner-@h-@[]\x00" {
		t.Errorf("info %q", got)
	}
}

// What cannot be settled is tried again, without another delivery, until it is.
func TestStraightTrouble(t *testing.T) {
	s := newTestSender(t)
	const id queue.ID = 24
	s.queued(id, "joe@me.example")
	s.takeUp()
	ch := s.channels[queue.Local]
	s.deliverStep(ch)
	if err := os.Rename(s.dir.Path("info"), s.dir.Path("away")); err != nil {
		t.Fatal(err)
	}
	s.said()
	s.report(ch, delivery.Report{Letter: delivery.Permanent, Text: "no\n"})
	s.settled()
	if got := s.said(); !strings.HasSuffix(got, "warning: unable to create info/1/24\n") {
		t.Errorf("log %q", got)
	}
	s.takeUp()
	if s.busy() || ch.used != 0 || len(ch.held) != 0 || s.files(id) != "mess intd todo" {
		t.Errorf("busy %v, %d deliveries, %d held, files %q", s.busy(), ch.used, len(ch.held), s.files(id))
	}
	if err := os.Rename(s.dir.Path("away"), s.dir.Path("info")); err != nil {
		t.Fatal(err)
	}
	refused := 0
	s.cleaning(func(string, queue.ID) byte {
		if refused++; refused > 1 {
			s.dir.Remove(id.Todo())
			s.dir.Remove(id.Intd())
			return delivery.CleanDone
		}
		return delivery.CleanFailed
	})
	for range 2 {
		s.now += retrySystem - 1
		s.endPauses()
		if s.busy() {
			t.Error("tried again too early")
		}
		s.now++
		s.endPauses()
		s.settled()
	}
	if got := s.said(); got != "warning: qmail-clean unable to clean up todo/24\n" {
		t.Errorf("log %q", got)
	}
	if got := s.files(id); got != "mess info bounce" || len(s.finished) != 1 {
		t.Errorf("files %q, finished %v", got, s.finished)
	}
}

// A failure that cannot be noted holds up the end of qmail-send, no delivery.
func TestStraightBounceTrouble(t *testing.T) {
	s := newTestSender(t)
	const id queue.ID = 24
	s.queued(id, "joe@me.example")
	s.takeUp()
	ch := s.channels[queue.Local]
	s.deliverStep(ch)
	if err := os.Remove(s.dir.Path("bounce")); err != nil {
		t.Fatal(err)
	}
	s.report(ch, delivery.Report{Letter: delivery.Permanent, Text: "no\n"})
	s.settled()
	if !s.busy() || ch.used != 0 || len(s.finished) != 0 || s.read(id.Recipients(queue.Local)) != "Tjoe@me.example\x00" {
		t.Errorf("busy %v, used %d, finished %v", s.busy(), ch.used, s.finished)
	}
	if err := os.Mkdir(s.dir.Path("bounce"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.now += retryDisk
	s.endPauses()
	if s.busy() || s.read(id.Bounce()) != "<joe@me.example>:\nno\n\n" || len(s.finished) != 1 {
		t.Errorf("busy %v, bounce %q, finished %v", s.busy(), s.read(id.Bounce()), s.finished)
	}
}

// Messages that must not, or need not, be delivered straight are preprocessed.
func TestNotStraight(t *testing.T) {
	s := newTestSender(t)
	left := queue.ID(24) // something is left of an interrupted preprocessing
	s.queued(left, "joe@me.example")
	s.file(left.Info(), "Fold")
	two := queue.ID(25)
	s.queued(two, "joe@me.example", "you@far.example")
	none := queue.ID(26)
	s.queued(none, "x")
	s.file(none.Todo(), "u1\x00p2\x00Fa@b\x00")
	held := queue.ID(27) // the channel is closed
	s.queued(held, "you@far.example")
	s.channels[queue.Remote].limit = 0
	s.takeUp()
	for id, want := range map[queue.ID]string{left: "mess info local", two: "mess info local remote", none: "mess info", held: "mess info remote"} {
		if got := s.files(id); got != want {
			t.Errorf("message %v: %q, want %q", id, got, want)
		}
	}
	if s.busy() || len(s.taken) != 0 || len(s.channels[queue.Local].due) != 2 || len(s.channels[queue.Remote].due) != 2 || len(s.finished) != 1 {
		t.Errorf("busy %v, taken %v", s.busy(), s.taken)
	}
	if got := s.said(); strings.Count(got, "new msg") != 4 || strings.Count(got, "info msg") != 4 || strings.Contains(got, "warning") {
		t.Errorf("log %q", got)
	}
}

// No more messages are held than maxHeld, nor any longer than a minute. Those that
// wait take turns with those that are due.
func TestHeld(t *testing.T) {
	s := newTestSender(t)
	ch := s.channels[queue.Local]
	for id := queue.ID(1); id <= maxHeld+3; id++ {
		s.queued(id, "joe@me.example")
	}
	s.takeUp()
	if len(ch.held) != maxHeld || len(ch.due) != 3 {
		t.Fatalf("%d held, %d due", len(ch.held), len(ch.due))
	}
	s.takeUp() // passes by what is in hand, and rests then
	if !s.resting && s.passed == 0 {
		s.event()
	}
	for range 3 {
		s.deliverStep(ch)
		for number := range ch.attempts {
			s.report(ch, delivery.Report{Number: byte(number), Letter: delivery.Temporary})
		}
		s.settled()
		ch.unread = 0
	}
	if got := maxHeld - len(ch.held); got != 3 {
		t.Errorf("%d of 6 deliveries were straight, want every other one", got)
	}
	before := len(ch.held)
	s.said()
	s.now += heldLong
	s.heldStep(ch)
	if got := before - len(ch.held); got != maxPreparing {
		t.Errorf("%d messages are preprocessed at once, want %d", got, maxPreparing)
	}
	s.settled()
	if got := s.said(); got != "" {
		t.Errorf("said again: %q", got)
	}
	s.now -= 2 * heldLong // the clock is set back
	s.heldStep(ch)
	if got := before - len(ch.held); got != 2*maxPreparing {
		t.Error("with the clock set back messages are held on")
	}
	s.settled()
}

// At the end messages that are only held stay in todo; what has been begun is settled.
func TestExitWhileHeld(t *testing.T) {
	s := newTestSender(t)
	ch := s.channels[queue.Local]
	for id := queue.ID(1); id <= 4; id++ {
		s.queued(id, "joe@me.example")
	}
	s.takeUp()
	s.deliverStep(ch)
	s.queued(5, "joe@me.example", "jim@me.example")
	s.triggered = true
	s.todoStep()
	s.exiting = true
	for number := range ch.attempts {
		s.report(ch, delivery.Report{Number: byte(number), Letter: delivery.Success})
	}
	s.deliverStep(ch)
	for s.busy() {
		s.event()
	}
	left := map[string]int{}
	for id := queue.ID(1); id <= 5; id++ {
		left[s.files(id)]++
	}
	if left[""] != 2 || left["mess intd todo"] != 2 || left["mess info local"] != 1 {
		t.Errorf("left %v", left)
	}
}

// Whose spawner goes stays in todo.
func TestStraightWithoutSpawner(t *testing.T) {
	s := newTestSender(t)
	ch := s.channels[queue.Local]
	s.queued(1, "joe@me.example")
	s.queued(2, "joe@me.example", "jim@me.example")
	s.takeUp()
	s.deliverStep(ch)
	s.lostSpawner(ch)
	if s.busy() || s.files(1) != "mess intd todo" {
		t.Errorf("busy %v, files %q", s.busy(), s.files(1))
	}
}

// A message may leave todo after a scan has read its name. If the next one gets its
// number just then it is not forgotten.
func TestGoneFromTodo(t *testing.T) {
	s := newTestSender(t)
	const id queue.ID = 24
	s.taken[id] = true
	s.preparing++
	s.readTodo([]queue.ID{id})
	s.event() // nothing there: it goes to be preprocessed
	for len(s.events) == 0 {
		runtime.Gosched() // nothing there again, but nobody knows yet
	}
	s.queued(id, "joe@me.example")
	s.triggered = true
	s.todoStep()
	s.todoStep()
	s.settled()
	if got := s.said(); got != "" || len(s.taken) != 0 || !s.triggered {
		t.Errorf("log %q, taken %v, todo is to be scanned: %v", got, s.taken, s.triggered)
	}
	s.takeUp()
	if len(s.channels[queue.Local].held) != 1 {
		t.Error("the next message of that number is forgotten")
	}
}

// A message that is queued, preprocessed, finished or replaced while the queue is
// loaded is scheduled once.
func TestLoad(t *testing.T) {
	s := newTestSender(t)
	const old, n = queue.ID(10000), 700
	for i := queue.ID(0); i < n; i++ {
		id := old + i
		s.file(id.Info(), "Fa@b\x00")
		s.file(id.Recipients(queue.Remote), "Tx@y\x00")
		if err := s.dir.SetNextAttempt(id, queue.Remote, time.Unix(s.now+1000, 0)); err != nil {
			t.Fatal(err)
		}
	}
	s.loading.dirs = queue.Splits("info")
	next := queue.ID(1)
	s.channels[queue.Local].alive = false // all that is local is preprocessed
	alarmed := 0
	for s.loading.open() {
		s.loadStep()
		if next <= 40 {
			s.queued(next, "joe@me.example")
			next++
			s.triggered = true
			s.todoStep()
			s.settled()
		}
		if alarmed++; alarmed == 3 {
			s.tryEverything()
		}
	}
	for s.triggered || s.todo.open() {
		s.todoStep()
		s.settled()
	}
	for c, want := range map[queue.Channel]int{queue.Local: int(next - 1), queue.Remote: n} {
		seen := map[queue.ID]int{}
		for _, e := range s.channels[c].due {
			seen[e.id]++
			if e.due > s.now {
				t.Errorf("message %v is due in %d seconds in spite of ALRM", e.id, e.due-s.now)
			}
		}
		if len(seen) != want || len(s.channels[c].due) != want {
			t.Errorf("%v: %d messages in %d entries, want %d", c, len(seen), len(s.channels[c].due), want)
		}
	}
	if s.left != nil || s.alarmed {
		t.Error("what only loading needs is kept")
	}
}

// 200,000 messages take what the package comment says.
func TestScheduleMemory(t *testing.T) {
	const n = 200000
	used := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := used()
	var s schedule
	for i := range queue.ID(n) {
		s.add(entry{int64(i), i})
	}
	if got := used() - before; got > 2*16*n {
		t.Errorf("%d entries take %d bytes, want at most %d", n, got, 2*16*n)
	}
	for range n - 10 {
		s.removeMin()
	}
	if got := used() - before; got > 16*2*spare+1<<16 {
		t.Errorf("10 entries take %d bytes", got)
	}
	runtime.KeepAlive(s)
}

// All deliveries of a channel are in use while a message has recipients left, and what
// begins in one turn is one write.
func TestManyRecipients(t *testing.T) {
	s := newTestSender(t)
	const id queue.ID = 24
	ch := s.channels[queue.Local]
	ch.limit, ch.attempts = 120, make([]*attempt, 120)
	r, w := s.pipe()
	var err error
	if ch.commands, err = nowait.Polled(w); err != nil {
		t.Fatal(err)
	}
	defer ch.commands.Close()
	var recipients []string
	for i := range 1000 {
		recipients = append(recipients, fmt.Sprintf("u%d@me.example", i))
	}
	s.queued(id, recipients...)
	s.takeUp()
	done := 0
	for turn := 0; done < 1000; turn++ {
		before := s.deliveries
		s.deliverStep(ch)
		if want := min(120, 1000-done); ch.used != want {
			t.Fatalf("turn %d: %d deliveries, want %d", turn, ch.used, want)
		}
		s.tellOthers()
		buf := make([]byte, 1<<16)
		n, err := r.Read(buf)
		if got, want := bytes.Count(buf[:n], []byte("@me.example\x00")), int(s.deliveries-before); err != nil || got != want {
			t.Fatalf("turn %d: %d requests in one write, want %d (%v)", turn, got, want, err)
		}
		for number := range ch.attempts {
			if ch.attempts[number] != nil && (number%4 == turn%4 || done > 880) {
				s.report(ch, delivery.Report{Number: byte(number), Letter: delivery.Success})
				done++
			}
		}
	}
	s.deliverStep(ch) // the end of the pass
	if got := s.files(id); got != "mess info" || len(s.finished) != 1 {
		t.Errorf("files %q, finished %v", got, s.finished)
	}
}

// With few descriptors few messages are prepared at once, and each in its turn. With 40
// of them most used to be left until the next look at all of todo.
func TestFewFiles(t *testing.T) {
	for files, want := range map[int]int{3: 1, 40: 1, 60: 3, 1024: 163} {
		if got := atOnce(files); got != want {
			t.Errorf("with %d files %d messages are prepared at once, want %d", files, got, want)
		}
	}
	s := newTestSender(t)
	s.preprocessed(24, queue.Preprocessed{}, &os.PathError{Op: "open", Path: "x", Err: syscall.EMFILE})
	if len(s.pauses) != 1 || s.pauses[0].at != s.now+1 {
		t.Errorf("after trouble with descriptors todo is looked at %v", s.pauses)
	}
	s.said()
	s.room = make(chan struct{}, 1)
	for id := range queue.ID(50) {
		s.queued(id+1, "joe@me.example", "ann@me.example")
	}
	s.takeUp()
	if got := len(s.channels[queue.Local].due); got != 50 || len(s.room) != 0 {
		t.Errorf("%d messages are prepared, %d have files open", got, len(s.room))
	}
}
