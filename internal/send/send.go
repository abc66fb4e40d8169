// Package send is qmail-send, the manager of the queue. It preprocesses what
// qmail-queue leaves in todo, hands recipients to the spawners, tries again what
// was deferred, reports what failed, and removes what is done. See spec
// "qmail-start and qmail-send".
//
// One goroutine owns all state: it runs events, which others send it as
// functions, and between them takes some small steps of each kind of work. Other
// goroutines read new envelopes, preprocess, and inject bounces; requests to
// qmail-clean and the spawners wait in memory, bounded, while those are busy.
// Nothing but logging, noting failures for bounces, and short looks at files of the
// queue can hold the owner up.
//
// A message that waits for its next attempt takes 16 bytes of memory for each
// channel that it is due on, and up to as much again while their number grows. Of
// messages in todo no more than maxHeld a channel are kept in memory.
//
// Differs from qmail: a message with one recipient is delivered straight from todo and
// only preprocessed if that does not succeed; the queue is loaded while all else goes
// on; nothing waits for qmail-clean.
//
// Everything that must survive is in the queue. A crash loses the times of the
// next attempts, which are then made at once, and may deliver twice whom a mark
// had not yet reached.
//
// An administrator's orders come in at a socket, see package order. Each is read,
// selected for and answered by a goroutine of its own; what it changes is changed by the
// owner, a few hundred messages a turn.
//
// Bytes come from strangers by way of the queue's records and of reports. They
// are compared, copied and made safe for the log, never parsed any further.
package send

import (
	"errors"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/crew"
	"quail/internal/durable"
	"quail/internal/nowait"
	"quail/internal/prog"
	"quail/internal/queue"
	"quail/internal/route"
)

// Intervals, in seconds.
const (
	rescanTodo  = 1500  // todo is looked at even if nobody pulls the trigger
	retrySystem = 123   // after trouble with files
	rescanMess  = 76431 // debris is looked for
	retryDisk   = 10    // where nothing goes on before it works
	retryFiles  = 1     // where there were too few descriptors
	maxSleep    = 86400
	// While a bounce is on its way into the queue todo and the next bounce wait this
	// long, so that the log has "bounce msg" before the bounce's own "new msg". A
	// queueing program that hangs holds up no more than that.
	bouncePatience = 3
)

// maxBounces is how many bounces are injected at once if that takes longer.
const maxBounces = 10

// What is done of one kind before everything else gets its turn: eventsATurn bounds
// how long a spawner that never stops reporting can keep all else waiting.
const (
	eventsATurn = 256
	stepsATurn  = 32
)

// sender is the state of qmail-send.
type sender struct {
	p        *prog.Process
	log      journal
	dir      queue.Dir
	syncs    *durable.Group
	control  control.Dir
	settings settings
	events   chan func()
	sleep    *time.Timer
	now      int64 // seconds, taken once a turn

	channels   [len(queue.Channels)]*channel
	jobs       int
	deliveries uint64 // started so far
	finished   schedule
	unknown    schedule // could not be looked at
	pauses     []timer

	trigger   *queue.Trigger // nil where there is none: then todo is looked at by the clock
	todo      scan
	triggered bool
	taken     map[queue.ID]bool // messages in todo that are in hand
	passed    int               // how many of them this walk has met
	resting   bool              // the next walk has to wait
	preparing int               // messages on whose files others work for us
	room      chan struct{}     // one entry for each of those who have files open for it
	crew      *crew.Crew        // works on them
	debris    scan

	loading scan              // of what was in the queue at start
	left    map[queue.ID]bool // messages that left todo while loading
	alarmed bool              // all that is still to be loaded is due
	alarms  int               // how often everything has been made due

	clean   cleaner
	bounces bounces
	orders  orders
	failing int // failures that still have to be noted
	exiting bool
}

// timer is something to be done after a pause.
type timer struct {
	at, length int64
	do         func()
}

// over is also true if the clock has been set back, which could make a pause last for
// years.
func (t timer) over(now int64) bool { return t.at <= now || t.at > now+t.length }

// pauseOver reports whether a pause of retryDisk that ends at a time is over.
func (s *sender) pauseOver(end int64) bool { return timer{at: end, length: retryDisk}.over(s.now) }

// later has something done after a pause.
func (s *sender) later(length int64, do func()) {
	s.pauses = append(s.pauses, timer{s.now + length, length, do})
}

// Run is qmail-send with the descriptors that qmail-start gives it: 0 the log, 1
// and 2 to and from qmail-lspawn, 3 and 4 qmail-rspawn, 5 and 6 qmail-clean.
func Run(p *prog.Process) error {
	reports := p.Stderr
	p.Stderr = p.Stdin // whatever we, or qmail-queue, have to complain of goes to the log
	s := newSender(p, queue.In(conf.Home))
	defer s.log.flush()
	if len(p.Extra) < 4 || p.Extra[0] == nil || p.Extra[1] == nil || p.Extra[2] == nil || p.Extra[3] == nil {
		return s.cannotStart("descriptors 3 to 6 are not open; qmail-start has to start qmail-send")
	}
	s.watchSignals()
	lock, err := s.prepare(reports)
	if err != nil {
		return err
	}
	defer lock.Close()
	s.now = p.Now().Unix()
	s.loading.dirs = queue.Splits("info")
	s.listenForOrders()
	s.logStatus()
	s.log.flush()
	s.loop()
	s.storeSchedules()
	s.log.exiting()
	return nil
}

func newSender(p *prog.Process, dir queue.Dir) *sender {
	return &sender{
		p: p, log: journal{w: nowait.Blocking{File: p.Stdin}}, dir: dir, syncs: durable.NewGroup(string(dir), p.Now), control: control.In(conf.Home),
		events: make(chan func(), eventsATurn), sleep: time.NewTimer(0),
		room: make(chan struct{}, atOnce(openFiles())), crew: crew.New(maxPreparing),
		taken: map[queue.ID]bool{}, left: map[queue.ID]bool{}, bounces: bounces{of: map[queue.ID]bool{}},
		orders: orders{promised: map[queue.ID][]promise{}, deleting: map[queue.ID]int{}},
	}
}

// openFiles returns how many files this process may have open.
func openFiles() int {
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) != nil {
		return leastFiles
	}
	return int(min(uint64(files.Cur), mostFiles))
}

// atOnce returns how many messages may have files open for being prepared: where files
// are few others wait, since a message that cannot be opened is left alone for long.
func atOnce(files int) int { return max(1, (files-leastFiles)/filesEach) }

func (s *sender) cannotStart(why string) error {
	s.log.alert("cannot start: " + why)
	return prog.Exit(prog.StatusTemporary)
}

// prepare does what must work before the first message: settings, the lock, the
// spawners' greetings, the trigger. localReports comes from qmail-lspawn.
func (s *sender) prepare(localReports *os.File) (lock *os.File, err error) {
	if _, err := os.Stat(conf.Home + "/."); err != nil {
		return nil, s.cannotStart("unable to switch to home directory")
	}
	if s.settings, err = readSettings(s.control); err != nil {
		return nil, s.cannotStart("unable to read controls")
	}
	if _, err := os.Stat(string(s.dir) + "/."); err != nil {
		return nil, s.cannotStart("unable to switch to queue directory")
	}
	lock, busy, err := s.dir.Lock()
	if busy {
		return nil, s.cannotStart("qmail-send is already running")
	}
	if err != nil {
		return nil, s.cannotStart("unable to open mutex")
	}
	pipes := [len(queue.Channels)][2]*os.File{{s.p.Stdout, localReports}, {s.p.Extra[0], s.p.Extra[1]}}
	for _, c := range queue.Channels {
		s.channels[c] = &channel{c: c, limit: s.settings.concurrency[c]}
		if err := s.connect(s.channels[c], pipes[c][0], pipes[c][1]); err != nil {
			lock.Close()
			return nil, s.cannotStart("hath the daemon spawn no fire?")
		}
	}
	if s.clean.requests, err = nowait.NewStream(s.p.Extra[2]); err != nil {
		lock.Close()
		return nil, s.cannotStart("unable to write to qmail-clean")
	}
	answers, err := nowait.NewStream(s.p.Extra[3])
	if err != nil {
		lock.Close()
		return nil, s.cannotStart("unable to read from qmail-clean")
	}
	go s.readAnswers(answers)
	return lock, nil
}

// watchSignals makes events of signals. Each kind has a channel of its own, so that
// many of one never cost another; several of one kind count as one.
func (s *sender) watchSignals() {
	for sig, do := range map[os.Signal]func(){
		syscall.SIGTERM: func() { s.exiting = true },
		syscall.SIGALRM: s.tryEverything,
		syscall.SIGHUP:  s.reread,
	} {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, sig)
		go func() {
			for range signals {
				s.events <- do
			}
		}()
	}
}

// listen makes sure that the trigger which programs pull is the one listened to.
func (s *sender) listen() {
	if s.trigger != nil {
		if s.dir.Listening(s.trigger) {
			return
		}
		s.trigger.Close()
	}
	var err error
	if s.trigger, err = s.dir.OpenTrigger(); err != nil {
		s.trigger = nil
		return
	}
	go s.watchTrigger(s.trigger)
}

func (s *sender) watchTrigger(t *queue.Trigger) {
	for t.Wait() == nil {
		s.events <- func() { s.triggered = true }
	}
}

// loop takes turns until all there is to wait for has come.
func (s *sender) loop() {
	for !s.exiting || s.busy() {
		// Once only bounces are waited for no more are begun: they keep till the
		// next start.
		ending := s.exiting && !s.delivering()
		s.wait()
		s.endPauses()
		s.loadStep()
		s.todoStep()
		for _, ch := range s.channels {
			s.heldStep(ch)
			s.deliverStep(ch)
		}
		if id, ok := s.unknown.takeDue(s.now); ok {
			s.look(id)
		}
		if !ending {
			s.finishStep()
			s.bounceStep()
		}
		s.debrisStep()
		s.tellOthers()
	}
}

// tellOthers writes what a turn has to say: the log first, since what it tells must not
// come after its consequences, then the requests.
func (s *sender) tellOthers() {
	s.log.flush()
	s.askClean()
	for _, ch := range s.channels {
		s.request(ch)
	}
	s.log.flush() // of those who have gone
}

// busy reports whether anything is under way whose outcome counts.
func (s *sender) busy() bool {
	return s.delivering() || s.bounces.underway > 0 || s.preparing > 0 || s.failing > 0 || len(s.orders.deleting) > 0 || len(s.clean.waiting) > 0
}

// delivering reports whether deliveries are under way. Those of a spawner that has
// gone will never be heard of.
func (s *sender) delivering() bool {
	for _, ch := range s.channels {
		if ch.alive && ch.used > 0 {
			return true
		}
	}
	return false
}

// wait runs the events that are there. If nothing else is to be done it waits for
// one, or for the time when something will be.
func (s *sender) wait() {
	s.now = s.p.Now().Unix()
	if d := s.wakeUp() - s.now; d > 0 {
		s.sleep.Reset(time.Duration(min(d, maxSleep)) * time.Second)
		select {
		case e := <-s.events:
			s.now = s.p.Now().Unix() // it has been a while
			e()
		case <-s.sleep.C:
			s.now = s.p.Now().Unix()
		}
		s.sleep.Stop()
	}
	for range eventsATurn {
		select {
		case e := <-s.events:
			e()
		default:
			return
		}
	}
}

// wakeUp returns when the next step of any kind is due.
func (s *sender) wakeUp() int64 {
	at := int64(math.MaxInt64)
	if !s.clean.busy() {
		at = s.nextStep(&s.debris)
	}
	for _, t := range s.pauses {
		at = min(at, t.at)
	}
	if s.exiting {
		return at
	}
	if s.canTake() && (s.todo.open() || !s.resting) {
		todo := s.nextStep(&s.todo)
		if s.triggered && !s.todo.open() {
			todo = s.now
		}
		at = min(at, max(todo, s.todoHeldUntil()))
	}
	if s.loading.open() {
		at = min(at, s.nextStep(&s.loading))
	}
	at = min(at, s.nextBounce())
	for _, ch := range s.channels {
		at = min(at, s.nextDelivery(ch))
	}
	if e, ok := s.unknown.min(); ok {
		at = min(at, e.due)
	}
	if e, ok := s.finished.min(); ok && !s.clean.busy() {
		at = min(at, e.due)
	}
	return at
}

func (s *sender) endPauses() {
	pauses := s.pauses
	s.pauses = nil
	for _, t := range pauses {
		if t.over(s.now) {
			t.do()
		} else {
			s.pauses = append(s.pauses, t)
		}
	}
}

// tryEverything makes every attempt due that waits for its time.
func (s *sender) tryEverything() {
	for _, ch := range s.channels {
		ch.due.dueNow(s.now)
	}
	s.alarmed = s.loading.open()
	s.alarms++
}

// reread takes up locals and virtualdomains, both or neither.
func (s *sender) reread() {
	if _, err := os.Stat(conf.Home + "/."); err != nil {
		s.log.alert("unable to reread controls: unable to switch to home directory")
		return
	}
	var unread *route.RereadError
	if err := s.settings.routes.Reread(s.control); errors.As(err, &unread) {
		s.log.alert("unable to reread control/" + unread.Name)
	}
}

func (s *sender) logStatus() {
	var used, limit [len(queue.Channels)]int
	for i, ch := range s.channels {
		used[i], limit[i] = ch.used, ch.limit
	}
	s.log.status(used, limit, s.exiting)
}

// asQueueError returns the operation and the file that err is about.
func asQueueError(err error) (doing string, n queue.Name) {
	var e *queue.Error
	if errors.As(err, &e) {
		return e.Doing, e.Name
	}
	return err.Error(), ""
}
