package send

import (
	"io"
	"time"

	"quail/internal/queue"
)

// scan is a walk through directories of the queue, one entry a step.
type scan struct {
	due    int64 // when the next walk begins
	paused int64 // until then the walk stands: a directory could not be opened
	dirs   []queue.Name
	at     *queue.Scan
}

func (c *scan) open() bool { return c.at != nil || len(c.dirs) > 0 }

// nextStep returns when the next step of a walk can be taken.
func (s *sender) nextStep(c *scan) int64 {
	switch {
	case !c.open():
		return c.due
	case s.pauseOver(c.paused):
		return s.now
	}
	return c.paused
}

// next returns the next number of the walk; ok is false if this step found none.
func (s *sender) next(c *scan) (id queue.ID, ok bool) {
	if c.at == nil {
		at, err := s.dir.OpenScan(c.dirs[0])
		if err != nil {
			s.log.alert("unable to opendir " + string(c.dirs[0]) + ", sleeping...")
			c.paused = s.now + retryDisk
			return 0, false
		}
		c.at, c.dirs = at, c.dirs[1:]
	}
	id, err := c.at.Next()
	if err == nil {
		return id, true
	}
	if err != io.EOF {
		s.log.warning(err.Error())
	}
	c.at.Close()
	c.at = nil
	return 0, false
}

// loadStep schedules some of what was in the queue at start.
func (s *sender) loadStep() {
	for range stepsATurn {
		if s.exiting || !s.loading.open() || !s.pauseOver(s.loading.paused) {
			return
		}
		if id, ok := s.next(&s.loading); ok && !s.left[id] {
			s.look(id)
		}
		if !s.loading.open() {
			s.left, s.alarmed = nil, false
		}
	}
}

// look schedules a preprocessed message by what its files say.
func (s *sender) look(id queue.ID) {
	if s.taken[id] || s.orders.deleting[id] > 0 { // it is scheduled when it leaves todo, or never
		return
	}
	if exists, err := s.dir.Exists(id.Info()); err != nil {
		s.lookLater(id, err)
		return
	} else if !exists {
		return
	}
	// While todo is there info and the others may be half written.
	if exists, err := s.dir.Exists(id.Todo()); err != nil {
		s.lookLater(id, err)
		return
	} else if exists {
		return
	}
	var due [len(queue.Channels)]time.Time
	var exists [len(queue.Channels)]bool
	for _, c := range queue.Channels {
		var err error
		if due[c], exists[c], err = s.dir.NextAttempt(id, c); err != nil {
			s.lookLater(id, err)
			return
		}
	}
	s.enqueue(id, exists, func(c queue.Channel) int64 {
		if s.alarmed && !queue.IsHeld(due[c].Unix()) {
			return min(due[c].Unix(), s.now)
		}
		return due[c].Unix()
	})
}

func (s *sender) lookLater(id queue.ID, err error) {
	_, n := asQueueError(err)
	s.log.trouble("unable to stat", n, "; will try again later")
	s.unknown.add(entry{s.now + retrySystem, id})
}

// enqueue schedules a message on the channels that it has recipients for. With
// none it is finished.
func (s *sender) enqueue(id queue.ID, used [len(queue.Channels)]bool, due func(queue.Channel) int64) {
	any := false
	for _, c := range queue.Channels {
		if used[c] {
			s.channels[c].due.add(entry{due(c), id})
			any = true
		}
	}
	if !any {
		s.finished.add(entry{s.now, id})
	}
}

// finishStep ends some of the messages that are done.
func (s *sender) finishStep() {
	for range stepsATurn {
		if s.clean.busy() {
			return
		}
		id, ok := s.finished.takeDue(s.now)
		if !ok {
			return
		}
		s.finish(id)
	}
}

// finish ends a message whose recipients are all done, with a bounce if it needs
// one.
func (s *sender) finish(id queue.ID) {
	if s.bounces.of[id] { // finished already; its bounce is on the way
		return
	}
	for _, n := range []queue.Name{id.Recipients(queue.Local), id.Recipients(queue.Remote), id.Todo()} {
		exists, err := s.dir.Exists(n)
		if err != nil {
			s.finishLater(id, err)
			return
		}
		if exists { // a false alarm: the message has another life
			return
		}
	}
	if exists, err := s.dir.Exists(id.Info()); err != nil {
		s.finishLater(id, err)
		return
	} else if !exists {
		return
	}
	// Without a sender nobody can say whether a bounce is due: the message stays.
	if _, err := s.dir.ReadInfo(id); err != nil {
		s.finished.add(entry{s.now + retrySystem, id})
		return
	}
	exists, err := s.dir.Exists(id.Bounce())
	switch {
	case err != nil:
		s.log.trouble("unable to stat", id.Bounce(), "")
		s.finished.add(entry{s.now + retrySystem, id})
	case exists:
		s.bounces.add(id)
	default:
		s.endMessage(id)
	}
}

func (s *sender) finishLater(id queue.ID, err error) {
	_, n := asQueueError(err)
	s.log.trouble("unable to stat", n, "; will try again later")
	s.finished.add(entry{s.now + retrySystem, id})
}

// endMessage removes a message. Removing info is the commit; what is left after
// a crash is debris.
func (s *sender) endMessage(id queue.ID) {
	s.log.endMessage(id)
	if s.dir.Remove(id.Info()) != nil {
		s.log.trouble("unable to unlink", id.Info(), "; will try again later")
		s.finished.add(entry{s.now + retrySystem, id})
		return
	}
	s.remove("foop", id, nil)
}

// debrisStep looks at some messages that may have been given up before they were
// queued, or after they were done.
func (s *sender) debrisStep() {
	for range stepsATurn {
		if !s.debris.open() {
			if s.debris.due > s.now {
				return
			}
			s.debris.dirs = queue.Splits("mess")
		}
		if !s.pauseOver(s.debris.paused) || s.clean.busy() {
			return
		}
		if id, ok := s.next(&s.debris); ok && s.isDebris(id) {
			s.remove("foop", id, nil)
		}
		if !s.debris.open() {
			s.debris.due = s.now + rescanMess
		}
	}
}

// isDebris reports whether a message is old, and certainly neither queued nor
// preprocessed.
func (s *sender) isDebris(id queue.ID) bool {
	if s.taken[id] || s.clean.about(id) {
		return false
	}
	accessed, err := s.dir.Accessed(id)
	if err != nil || s.now <= accessed.Unix()+int64(queue.Ossified/time.Second) {
		return false
	}
	for _, n := range []queue.Name{id.Info(), id.Todo()} {
		if exists, err := s.dir.Exists(n); err != nil || exists {
			return false
		}
	}
	return true
}

// storeSchedules writes the times of the next attempts where the next qmail-send
// finds them. A message that is being served keeps its old time.
func (s *sender) storeSchedules() {
	for _, ch := range s.channels {
		for _, e := range ch.due {
			if s.dir.SetNextAttempt(e.id, ch.c, time.Unix(e.due, 0)) != nil {
				s.log.trouble("unable to utime", e.id.Recipients(ch.c), "; message will be retried too soon")
			}
		}
	}
}
