package send

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/delivery"
	"quail/internal/order"
	"quail/internal/queue"
)

// Work on the files of new messages is done beside the main loop, which hears of
// the results: preprocessing never waits for deliveries nor they for it.
const (
	maxPreparing = 20 // messages at once
	// Files of qmail-send: those that are always open, with one for each channel, those
	// of orders, and a few for whatever has to be looked at; and those of a message
	// being prepared.
	leastFiles = 42
	filesEach  = 6
	mostFiles  = 2000
	// maxHeld is how many messages wait for a delivery straight from todo, on each
	// channel: a minute at the longest. All others are preprocessed at once.
	maxHeld  = 1000
	heldLong = 60
	// A walk through todo that passes messages by that are in hand is not repeated at
	// once: restAWalk for each of them makes walks a small part of the work.
	restAWalk = 4 * time.Microsecond
	fewPassed = 64
)

// held is a message with one recipient that waits to be delivered straight from
// todo. If the first attempt succeeds it is never preprocessed: removing todo ends it.
// If not it is preprocessed then, and the attempt counts as its first.
type held struct {
	id        queue.ID
	since     int64
	sender    string
	recipient string // as routed
	alarms    int    // that there had been when it was delivered, or not
}

// todoStep takes messages up from todo as far as that can be done now.
func (s *sender) todoStep() {
	if s.todoHeldUntil() > s.now {
		return
	}
	var ids []queue.ID
	for range stepsATurn {
		if !s.canTake() || !s.todo.open() && !s.scanTodo() || !s.pauseOver(s.todo.paused) {
			break
		}
		id, ok := s.next(&s.todo)
		switch {
		case ok && s.taken[id]:
			s.passed++
		case ok:
			s.taken[id] = true
			s.preparing++
			ids = append(ids, id)
		case !s.todo.open():
			s.restFromTodo()
		}
	}
	if len(ids) > 0 {
		s.readTodo(ids)
	}
}

// scanTodo begins a walk through todo if there is a reason.
func (s *sender) scanTodo() bool {
	if s.resting || !s.triggered && s.todo.due > s.now {
		return false
	}
	// The trigger counts as pulled again from here on: whatever is queued after
	// the scan has begun gets another scan.
	if !s.triggered { // as long as it is pulled it is the right one
		s.listen()
	}
	s.triggered = false
	s.todo.due = s.now + rescanTodo
	s.todo.dirs = []queue.Name{"todo"}
	return true
}

// restFromTodo puts the next walk off if this one has met much that is known.
func (s *sender) restFromTodo() {
	if s.passed > fewPassed {
		s.resting = true
		time.AfterFunc(time.Duration(s.passed)*restAWalk, func() {
			s.events <- func() { s.resting = false }
		})
	}
	s.passed = 0
}

// canTake reports whether another message can be taken up from todo.
func (s *sender) canTake() bool {
	return !s.exiting && s.preparing < maxPreparing && !s.clean.busy()
}

// readTodo begins with messages in todo. Until they have left todo, or are given up for
// now, no other scan takes them.
func (s *sender) readTodo(ids []queue.ID) {
	s.crew.Go(func() {
		s.room <- struct{}{}
		looks := make([]func(), len(ids))
		for i, id := range ids {
			todo, recipient, single := s.dir.Single(id)
			looks[i] = func() {
				s.preparing--
				if single {
					s.hold(id, todo, recipient)
				} else {
					s.preprocessNow(id)
				}
			}
		}
		<-s.room
		s.events <- func() {
			for _, look := range looks {
				look()
			}
		}
	})
}

// preprocessNow preprocesses a message that is not to be held.
func (s *sender) preprocessNow(id queue.ID) {
	routes := s.settings.routes // as they are now, whatever HUP brings
	s.preprocess(id, queue.Preprocessor{Syncs: s.syncs, Route: routes.Route}, func(done queue.Preprocessed, err error) {
		s.preprocessed(id, done, err)
	})
}

// preprocess preprocesses a message beside the main loop, which then does what comes
// next.
func (s *sender) preprocess(id queue.ID, by queue.Preprocessor, then func(queue.Preprocessed, error)) {
	s.preparing++
	s.crew.Go(func() {
		s.room <- struct{}{}
		done, err := s.dir.Preprocess(id, by)
		<-s.room
		s.events <- func() {
			s.preparing--
			then(done, err)
		}
	})
}

// hold keeps a message for a delivery straight from todo, if its channel has room.
func (s *sender) hold(id queue.ID, todo queue.Todo, recipient string) {
	if s.exiting {
		delete(s.taken, id) // it is in todo for the next qmail-send
		return
	}
	c, address := s.settings.routes.Route(recipient)
	ch := s.channels[c]
	if !ch.alive || ch.limit == 0 || len(ch.held) >= maxHeld || len(s.orders.promised[id]) > 0 {
		s.preprocessNow(id)
		return
	}
	s.log.newMessage(id)
	s.log.infoMessage(id, todo)
	ch.held = append(ch.held, held{id: id, since: s.now, sender: todo.Sender, recipient: address})
}

// takeHeld returns the message that has been held for the longest time.
func (ch *channel) takeHeld() held {
	h := ch.held[0]
	ch.held[0] = held{}
	ch.held = ch.held[1:]
	return h
}

// heldStep preprocesses what has been held too long.
func (s *sender) heldStep(ch *channel) {
	for s.canTake() && len(ch.held) > 0 && ch.held[0].tooLong(s.now) {
		s.preprocessHeld(ch, ch.takeHeld())
	}
}

// preprocessHeld preprocesses a message that has been held, and is no more.
func (s *sender) preprocessHeld(ch *channel, h held) {
	s.preprocess(h.id, queue.Preprocessor{Syncs: s.syncs, Route: h.route(ch)}, func(done queue.Preprocessed, err error) {
		done.Begun, done.Senders = false, nil // logged already
		s.preprocessed(h.id, done, err)
	})
}

// tooLong is also true if the clock has been set back.
func (h held) tooLong(now int64) bool { return now >= h.since+heldLong || now < h.since }

// route routes the recipient as it was routed when the message was taken up, which
// the log may have said already.
func (h held) route(ch *channel) func(string) (queue.Channel, string) {
	return func(string) (queue.Channel, string) { return ch.c, h.recipient }
}

// preprocessed goes on with a message whose files are written, or could not be.
func (s *sender) preprocessed(id queue.ID, done queue.Preprocessed, err error) {
	if done.Begun {
		s.log.newMessage(id)
	}
	for _, todo := range done.Senders {
		s.log.infoMessage(id, todo)
	}
	if err != nil {
		delete(s.taken, id)
		doing, n := asQueueError(err)
		if n == id.Todo() && errors.Is(err, os.ErrNotExist) {
			// It left todo after a scan had read its name. The next message may have the
			// number already, and have been passed by as being in hand.
			s.triggered = true
			s.breakPromises(id, order.Gone)
			return
		}
		s.breakPromises(id, order.Failed+err.Error())
		s.log.trouble(doing, n, "")
		// Descriptors are not missing for long: the next walk may be far away.
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
			s.later(retryFiles, func() { s.triggered = true })
		}
		return
	}
	s.remove("todo", id, func(removed bool) {
		s.leaveTodo(id)
		if !removed {
			s.breakPromises(id, order.Failed+"qmail-clean cannot remove todo")
			return
		}
		s.enqueue(id, done.Used, func(queue.Channel) int64 { return s.now })
		s.keepPromises(id)
	})
}

// leaveTodo ends what this process does with a message in todo. Its info may come up
// in other walks, which must not schedule it once more.
func (s *sender) leaveTodo(id queue.ID) {
	delete(s.taken, id)
	s.unknown.drop(id)
	if s.loading.open() {
		s.left[id] = true
	}
}

// startHeld delivers a message straight from todo.
func (s *sender) startHeld(ch *channel) {
	h := ch.takeHeld()
	s.jobs++
	s.start(ch, &job{
		id: h.id, c: ch, sender: h.sender, held: &h, birth: s.now,
		retry: nextRetry(s.now, s.now, ch.c), remaining: 1, complete: true,
	}, queue.Recipient{Address: h.recipient})
}

// settle goes on with a message that has been delivered straight from todo, or has
// not. The delivery is over and logged; what its report means for the queue is done
// here, and tried again until it is done. A crash before that costs a second delivery.
func (s *sender) settle(j *job, r delivery.Report) {
	again := func() { s.later(retrySystem, func() { s.settle(j, r) }) }
	if r.Letter == delivery.Success {
		s.remove("todo", j.id, func(removed bool) {
			if !removed {
				again()
				return
			}
			s.leaveTodo(j.id)
			s.breakPromises(j.id, order.Gone)
			s.log.endMessage(j.id)
			s.remove("foop", j.id, nil)
		})
		return
	}
	by := queue.Preprocessor{Syncs: s.syncs, Route: j.held.route(j.c), Birth: time.Unix(j.birth, 0)}
	s.preprocess(j.id, by, func(_ queue.Preprocessed, err error) {
		if err != nil {
			doing, n := asQueueError(err)
			s.log.trouble(doing, n, "")
			again()
			return
		}
		s.remove("todo", j.id, func(removed bool) {
			if !removed {
				again()
				return
			}
			s.leaveTodo(j.id)
			if r.Letter == delivery.Permanent {
				s.fail(j, queue.Recipient{Address: j.held.recipient}, r, func() { s.conclude(j); s.keepPromises(j.id) })
				return
			}
			if s.alarms != j.held.alarms { // who sent one had read of the deferral
				j.retry = s.now
			}
			s.conclude(j)
			s.keepPromises(j.id)
		})
	})
}
