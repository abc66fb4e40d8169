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

// loadQueue schedules what is in the queue at start. Nothing can be known without
// it, so an unreadable directory is waited for.
func (s *sender) loadQueue() {
	c := scan{dirs: queue.Splits("info")}
	for c.open() {
		if id, ok := s.next(&c); ok {
			s.look(id)
		}
		if c.paused > 0 {
			time.Sleep(retryDisk * time.Second)
			c.paused = 0
		}
	}
}

// look schedules a preprocessed message by what its files say.
func (s *sender) look(id queue.ID) {
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
	s.enqueue(id, exists, func(c queue.Channel) int64 { return due[c].Unix() })
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

// todoStep preprocesses one message.
func (s *sender) todoStep() {
	if s.exiting || s.todoHeldUntil() > s.now {
		return
	}
	if !s.todo.open() {
		if !s.triggered && s.todo.due > s.now {
			return
		}
		// The trigger counts as pulled again from here on: whatever is queued after
		// the scan has begun gets another scan.
		s.listen()
		s.triggered = false
		s.todo.due = s.now + rescanTodo
		s.todo.dirs = []queue.Name{"todo"}
	}
	if !s.pauseOver(s.todo.paused) {
		return
	}
	if id, ok := s.next(&s.todo); ok {
		s.preprocess(id)
	}
}

func (s *sender) preprocess(id queue.ID) {
	used, err := s.dir.Preprocess(id, queue.Preprocessor{
		Begun: func() { s.log.newMessage(id) },
		Info:  func(t queue.Todo) { s.log.infoMessage(id, t) },
		Route: s.settings.routes.route,
	})
	if err != nil {
		doing, n := asQueueError(err)
		s.log.trouble(doing, n, "")
		return
	}
	if s.cleanUp("todo", id) {
		s.enqueue(id, used, func(queue.Channel) int64 { return s.now })
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
	s.cleanUp("foop", id)
}

// debrisStep looks at one message that may have been given up before it was
// queued, or after it was done.
func (s *sender) debrisStep() {
	if !s.debris.open() {
		if s.debris.due > s.now {
			return
		}
		s.debris.dirs = queue.Splits("mess")
	}
	if !s.pauseOver(s.debris.paused) {
		return
	}
	id, ok := s.next(&s.debris)
	if ok && s.isDebris(id) {
		s.cleanUp("foop", id)
	}
	if !s.debris.open() {
		s.debris.due = s.now + rescanMess
	}
}

// isDebris reports whether a message is old, and certainly neither queued nor
// preprocessed.
func (s *sender) isDebris(id queue.ID) bool {
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
