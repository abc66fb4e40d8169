package send

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/order"
	"quail/internal/queue"
	"quail/internal/selection"
)

// orders is what an administrator has asked for and is not done.
type orders struct {
	promised map[queue.ID][]promise // of messages in todo
	deleting map[queue.ID]int       // on how many channels a message is being deleted
}

// target is a message that an order means.
type target struct {
	selection.Found
	has  [len(queue.Channels)]bool // it waits for its next attempt there, at Due
	jobs [len(queue.Channels)]*job // it is in hand there
	then func()                    // goes on when Outcome says what became of it
}

// promise is a change of a message that has to be preprocessed before.
type promise struct {
	t    *target
	verb order.Verb
	uid  int
}

// order does what is asked with some messages, and goes on when all of it is done.
func (s *sender) order(o order.Order, uid int, targets []*target, then func()) {
	changes := o.Verb.Changes() && !o.DryRun
	s.gather(targets, changes)
	left := len(targets)
	for _, t := range targets {
		t.then = func() {
			if left--; left == 0 {
				then()
			}
		}
	}
	for _, t := range targets {
		t.State = s.stateOf(t)
		switch {
		case changes:
			s.change(t, o.Verb, uid)
			continue
		case o.DryRun && o.Verb.Changes():
			t.Outcome = order.Would + string(o.Verb)
		}
		t.then()
	}
}

// gather finds out where messages are, for all of them at once since schedules may be
// long. Those that are to be changed are taken out of their schedules.
func (s *sender) gather(targets []*target, take bool) {
	by := make(map[queue.ID]*target, len(targets))
	var maybe [1 << 10]bool // by the last bits of a number: spares nearly all look-ups
	for _, t := range targets {
		by[t.ID()] = t
		maybe[t.ID()%queue.ID(len(maybe))] = true
	}
	for _, ch := range s.channels {
		kept := ch.due[:0]
		for _, e := range ch.due {
			if maybe[e.id%queue.ID(len(maybe))] {
				if t := by[e.id]; t != nil {
					t.has[ch.c], t.Due[ch.c] = true, max(1, e.due)
					if take {
						continue
					}
				}
			}
			kept = append(kept, e)
		}
		if len(kept) < len(ch.due) {
			ch.due = kept
			ch.due.heapify()
		}
		for _, j := range ch.underway() {
			if t := by[j.id]; t != nil {
				t.jobs[ch.c] = j
			}
		}
	}
}

// underway lists the jobs of a channel, some of them more than once.
func (ch *channel) underway() (jobs []*job) {
	if ch.pass != nil {
		jobs = append(jobs, ch.pass)
	}
	for _, a := range ch.attempts {
		if a != nil {
			jobs = append(jobs, a.job)
		}
	}
	return jobs
}

func (t *target) inHand() bool { return t.jobs != [len(queue.Channels)]*job{} }

func (s *sender) stateOf(t *target) string {
	switch {
	case t.inHand():
		return order.StateInHand
	case s.orders.deleting[t.ID()] > 0:
		return order.StateEnding
	case t.Todo:
		return order.StateTodo
	}
	return selection.StateOf(t.Due)
}

// putBack schedules a message again as it was.
func (s *sender) putBack(t *target) {
	for _, ch := range s.channels {
		if t.has[ch.c] {
			ch.due.add(entry{t.Due[ch.c], t.ID()})
		}
	}
}

// change changes a message, or will. Whoever asked is told by t.Outcome.
func (s *sender) change(t *target, verb order.Verb, uid int) {
	switch {
	case s.exiting:
		s.putBack(t)
		t.Outcome = order.Failed + "qmail-send is about to exit"
	case s.orders.deleting[t.ID()] > 0:
		s.putBack(t)
		t.Outcome = order.Ending
	case !t.Same(s.dir): // it has ended or been preprocessed, and its number may be another's
		s.putBack(t)
		t.Outcome = order.Gone
	case t.Todo && verb == order.Release:
		t.Outcome = order.NotHeld
	case t.Todo:
		s.promise(t, verb, uid)
		return
	case verb == order.Delete:
		s.delete(t, uid)
		return
	case verb == order.Expire:
		s.putBack(t)
		s.expire(t)
	default:
		s.reschedule(t, verb)
	}
	s.ordered(t, verb, uid)
	t.then()
}

// ordered logs a change that has been made.
func (s *sender) ordered(t *target, verb order.Verb, uid int) {
	if t.Outcome == order.Done || t.Outcome == order.InHand {
		s.log.ordered(string(verb), t.ID(), uid)
	}
}

// settledAs is what a change comes to that could be made.
func (t *target) settledAs() string {
	if t.inHand() {
		return order.InHand
	}
	return order.Done
}

// reschedule moves the times of the next attempts, in memory and on disk. For jobs in
// hand the time counts when they are over.
func (s *sender) reschedule(t *target, verb order.Verb) {
	t.Outcome = order.Ending
	for _, ch := range s.channels {
		old := t.Due[ch.c]
		j := t.jobs[ch.c]
		if j != nil {
			old = j.retry
		}
		if old == 0 {
			continue
		}
		due, refused := move(verb, old, s.now)
		if refused == "" && j == nil {
			if err := s.dir.SetNextAttempt(t.ID(), ch.c, time.Unix(due, 0)); errors.Is(err, unix.ENOENT) {
				continue // it is ending
			} else if err != nil {
				due, refused = old, order.Failed+err.Error()
			}
		}
		switch {
		case refused == "":
			t.Outcome = t.settledAs()
		case t.Outcome == order.Ending:
			t.Outcome = refused
		}
		if j != nil {
			s.moveJob(ch, j, due)
		} else if t.has[ch.c] {
			t.Due[ch.c] = due
			ch.due.add(entry{due, t.ID()})
		}
	}
}

// move returns the time that a verb makes of that of a next attempt, or why it does not.
func move(verb order.Verb, old, now int64) (due int64, refused string) {
	held := queue.IsHeld(old)
	switch {
	case verb == order.Hold:
		return queue.Held, ""
	case verb == order.Requeue && held:
		return old, order.Held
	case verb == order.Release && !held:
		return old, order.NotHeld
	}
	return now, ""
}

// moveJob sets when a job in hand is due again. One that is to be held begins no more
// deliveries.
func (s *sender) moveJob(ch *channel, j *job, due int64) {
	j.retry = due
	if queue.IsHeld(due) && ch.pass == j {
		s.closePass(ch)
	}
}

// expire makes a message older than queuelifetime: whoever is deferred at the next
// attempt has failed.
func (s *sender) expire(t *target) {
	birth := s.now - s.settings.lifetime - 1
	switch {
	case birth < 0:
		t.Outcome = order.Failed + "queuelifetime is longer than the clock goes back"
	case t.State == order.StateEnding:
		t.Outcome = order.Ending
	default:
		t.Outcome = t.settledAs()
		if t.Birth <= birth {
			return
		}
		if err := s.dir.SetBirth(t.ID(), time.Unix(birth, 0)); err != nil {
			t.Outcome = order.Failed + err.Error()
		}
	}
}

// delete takes everybody for done to whom a message is not being delivered just now.
func (s *sender) delete(t *target, uid int) {
	var idle []queue.Channel
	for _, ch := range s.channels {
		switch j := t.jobs[ch.c]; {
		case j != nil:
			j.deleted = true
			if ch.pass == j {
				s.closePass(ch)
			}
		case t.Due[ch.c] != 0:
			idle = append(idle, ch.c)
		}
	}
	if len(idle) == 0 {
		t.Outcome = order.Ending
		if t.inHand() {
			t.Outcome = order.InHand
		}
		s.ordered(t, order.Delete, uid)
		t.then()
		return
	}
	s.log.ordered(string(order.Delete), t.ID(), uid)
	s.deleteFrom(t.ID(), idle, func(err error) {
		t.Outcome = t.settledAs()
		if err != nil {
			t.Outcome = order.Failed + err.Error()
		}
		t.then()
	})
}

// deleteFrom takes everybody for done whom some channels owe a message, beside the main
// loop: a message may have many recipients. The message then ends as any other.
func (s *sender) deleteFrom(id queue.ID, channels []queue.Channel, then func(error)) {
	s.orders.deleting[id]++
	s.unknown.drop(id)
	if s.loading.open() {
		s.left[id] = true
	}
	go func() {
		s.room <- struct{}{}
		var failed error
		for _, c := range channels {
			failed = errors.Join(failed, s.dir.MarkAllDone(id, c, s.syncs))
		}
		<-s.room
		s.events <- func() {
			if s.orders.deleting[id]--; s.orders.deleting[id] == 0 {
				delete(s.orders.deleting, id)
			}
			if failed != nil {
				s.deleteFailed(id, channels, failed)
			} else {
				s.finished.add(entry{s.now, id})
			}
			then(failed)
		}
	}()
}

// deleteFailed leaves a message to its next attempt.
func (s *sender) deleteFailed(id queue.ID, channels []queue.Channel, err error) {
	doing, n := asQueueError(err)
	s.log.trouble(doing, n, "; will try again later")
	for _, c := range channels {
		if there, err := s.dir.Exists(id.Recipients(c)); there || err != nil {
			s.channels[c].due.add(entry{s.now + retrySystem, id})
		}
	}
}

// promise has a message preprocessed, and changed then. One that is being delivered
// straight from todo is preprocessed when that is over, if it is not done by it.
func (s *sender) promise(t *target, verb order.Verb, uid int) {
	id := t.ID()
	p := promise{t, verb, uid}
	if t.inHand() {
		t.Outcome = order.InHand
		t.then()
		p.t = &target{Found: t.Found, then: func() {}}
	}
	s.orders.promised[id] = append(s.orders.promised[id], p)
	for _, ch := range s.channels {
		if at := slices.IndexFunc(ch.held, func(h held) bool { return h.id == id }); at >= 0 {
			h := ch.held[at]
			ch.held = slices.Delete(ch.held, at, at+1)
			s.preprocessHeld(ch, h)
		}
	}
	if !s.taken[id] {
		s.triggered = true
	}
}

// keepPromises makes the changes of a message that has left todo.
func (s *sender) keepPromises(id queue.ID) {
	promises := s.orders.promised[id]
	delete(s.orders.promised, id)
	for _, p := range promises {
		t := &target{Found: p.t.Found, then: func() {}}
		t.then = func() {
			p.t.Outcome, p.t.State = t.Outcome, t.State
			p.t.then()
		}
		if t.LeftTodo(s.dir) != nil {
			t.Outcome = order.Gone
			t.then()
			continue
		}
		s.gather([]*target{t}, true)
		t.State = s.stateOf(t)
		s.change(t, p.verb, p.uid)
	}
}

// breakPromises tells those who had asked for changes why they cannot be made.
func (s *sender) breakPromises(id queue.ID, why string) {
	promises := s.orders.promised[id]
	delete(s.orders.promised, id)
	for _, p := range promises {
		p.t.Outcome = why
		p.t.then()
	}
}
