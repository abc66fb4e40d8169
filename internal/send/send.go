// Package send is qmail-send, the manager of the queue. It preprocesses what
// qmail-queue leaves in todo, hands recipients to the spawners, tries again what
// was deferred, reports what failed, and removes what is done. See spec
// "qmail-start and qmail-send".
//
// One goroutine owns all state: it runs events, which others send it as
// functions, and between them takes one small step of each kind of work. Nothing
// but logging, files of the queue and qmail-clean can hold it up.
//
// Everything that must survive is in the queue. A crash loses the times of the
// next attempts, which are then made at once, and may deliver twice whom a mark
// had not yet reached.
//
// Bytes come from strangers by way of the queue's records and of reports. They
// are compared, copied and made safe for the log, never parsed any further.
package send

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/delivery"
	"quail/internal/prog"
	"quail/internal/queue"
)

// Intervals, in seconds.
const (
	rescanTodo  = 1500  // todo is looked at even if nobody pulls the trigger
	retrySystem = 123   // after trouble with files
	rescanMess  = 76431 // debris is looked for
	retryDisk   = 10    // where nothing goes on before it works
	maxSleep    = 86400
	// While a bounce is on its way into the queue todo and the next bounce wait this
	// long, so that the log has "bounce msg" before the bounce's own "new msg". A
	// queueing program that hangs holds up no more than that.
	bouncePatience = 3
)

// maxBounces is how many bounces are injected at once if that takes longer.
const maxBounces = 10

// eventsATurn bounds how long a spawner that never stops reporting can keep
// everything else waiting.
const eventsATurn = 256

// sender is the state of qmail-send.
type sender struct {
	p        *prog.Process
	log      journal
	dir      queue.Dir
	control  control.Dir
	settings settings
	events   chan func()
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
	debris    scan

	clean struct {
		requests *os.File
		answers  *bufio.Reader
	}
	bounces bounces
	exiting bool
}

// timer is something to be done after a pause.
type timer struct {
	at int64
	do func()
}

// pauseOver reports whether a pause of retryDisk that ends at a time is over. It is
// also if the clock has been set back, which could make it last for years.
func (s *sender) pauseOver(end int64) bool { return end <= s.now || end > s.now+retryDisk }

// Run is qmail-send with the descriptors that qmail-start gives it: 0 the log, 1
// and 2 to and from qmail-lspawn, 3 and 4 qmail-rspawn, 5 and 6 qmail-clean.
func Run(p *prog.Process) error {
	reports := p.Stderr
	p.Stderr = p.Stdin // whatever we, or qmail-queue, have to complain of goes to the log
	s := &sender{p: p, log: journal{p.Stdin}, events: make(chan func()), control: control.In(conf.Home), dir: queue.In(conf.Home)}
	s.bounces.of = map[queue.ID]bool{}
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
	s.loadQueue()
	s.logStatus()
	s.loop()
	s.storeSchedules()
	s.log.exiting()
	return nil
}

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
	s.clean.requests, s.clean.answers = s.p.Extra[2], bufio.NewReader(s.p.Extra[3])
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
		s.todoStep()
		for _, ch := range s.channels {
			s.passStep(ch)
		}
		if id, ok := s.unknown.takeDue(s.now); ok {
			s.look(id)
		}
		if !ending {
			if id, ok := s.finished.takeDue(s.now); ok {
				s.finish(id)
			}
			s.bounceStep()
		}
		s.debrisStep()
	}
}

// busy reports whether deliveries or bounces are under way whose outcome counts.
func (s *sender) busy() bool { return s.delivering() || s.bounces.underway > 0 }

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
		t := time.NewTimer(time.Duration(min(d, maxSleep)) * time.Second)
		select {
		case e := <-s.events:
			s.now = s.p.Now().Unix() // it has been a while
			e()
		case <-t.C:
			s.now = s.p.Now().Unix()
		}
		t.Stop()
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
	at := s.nextStep(&s.debris)
	for _, t := range s.pauses {
		at = min(at, t.at)
	}
	if s.exiting {
		return at
	}
	todo := s.nextStep(&s.todo)
	if s.triggered && !s.todo.open() {
		todo = s.now
	}
	at = min(at, max(todo, s.todoHeldUntil()), s.nextBounce())
	for _, ch := range s.channels {
		if ch.pass != nil && ch.canStart() {
			at = s.now
		}
		if e, ok := ch.due.min(); ok && ch.pass == nil && s.jobs < s.maxJobs() {
			at = min(at, e.due)
		}
	}
	for _, sch := range []schedule{s.unknown, s.finished} {
		if e, ok := sch.min(); ok {
			at = min(at, e.due)
		}
	}
	return at
}

func (s *sender) endPauses() {
	pauses := s.pauses
	s.pauses = nil
	for _, t := range pauses {
		if s.pauseOver(t.at) {
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
}

// reread takes up locals and virtualdomains, both or neither.
func (s *sender) reread() {
	if _, err := os.Stat(conf.Home + "/."); err != nil {
		s.log.alert("unable to reread controls: unable to switch to home directory")
		return
	}
	locals, err := readLocals(s.control, s.settings.me, s.settings.haveMe)
	if err != nil {
		s.log.alert("unable to reread control/locals")
		return
	}
	virtualDomains, _, err := s.control.Map("virtualdomains")
	if err != nil {
		s.log.alert("unable to reread control/virtualdomains")
		return
	}
	s.settings.routes.locals, s.settings.routes.virtualDomains = locals, virtualDomains
}

func (s *sender) logStatus() {
	var used, limit [len(queue.Channels)]int
	for i, ch := range s.channels {
		used[i], limit[i] = ch.used, ch.limit
	}
	s.log.status(used, limit, s.exiting)
}

// cleanUp has qmail-clean remove files, and waits for it.
func (s *sender) cleanUp(what string, id queue.ID) bool {
	_, err := io.WriteString(s.clean.requests, what+"/"+id.String()+"\x00")
	var answer byte
	if err == nil {
		answer, err = s.clean.answers.ReadByte()
	}
	if err != nil {
		s.log.alert("oh no! lost qmail-clean connection! dying...")
		s.exiting = true
		return false
	}
	if answer != delivery.CleanDone {
		s.log.warning("qmail-clean unable to clean up " + what + "/" + id.String())
		return false
	}
	return true
}

// asQueueError returns the operation and the file that err is about.
func asQueueError(err error) (doing string, n queue.Name) {
	var e *queue.Error
	if errors.As(err, &e) {
		return e.Doing, e.Name
	}
	return err.Error(), ""
}
