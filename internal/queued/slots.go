package queued

import "sync"

// How much is done at once. A job takes three descriptors and some 40 KiB, a
// connection without one a descriptor and a goroutine.
const (
	leastFiles = 256
	mostFiles  = 100000
	mostJobs   = 4000
	reserve    = 64 // files for everything else
)

// slots are the jobs and connections that there may be at once, in total and for each
// caller. The suite's own users and root are trusted with all there are: they speak
// for others, and bound those. All other users together get three quarters and each of
// them a tenth, so that neither one of them nor many keep mail from being received.
//
// Whoever has all his jobs waits for one to end, and does so in his own line. Only who
// has more connections than that, most of them idle, is hung up on.
type slots struct {
	jobs, connections   int // how many there may be
	trusted             map[int]bool
	mu                  sync.Mutex
	callers             map[int]*caller
	held, strangers     int // jobs under way, and those of strangers among them
	open, strangersOpen int // connections, and those of strangers among them
	hungUp              int // connections that were too many
	waited              int // jobs that had to wait
	waiting             int // callers in whose lines somebody waits
}

// caller is what one user has.
type caller struct {
	uid        int
	held, open int
	line       []chan struct{} // closed when it is the turn of who waits there
}

func newSlots(files int, trusted map[int]bool) *slots {
	jobs := min(mostJobs, files/8)
	return &slots{jobs: jobs, connections: files - 3*jobs - reserve, trusted: trusted, callers: map[int]*caller{}}
}

// connect counts a connection, unless its user has too many.
func (s *slots) connect(uid int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.callers[uid]
	if c == nil {
		c = &caller{uid: uid}
	}
	if !s.fits(uid, c.open, s.strangersOpen, s.open, s.connections) {
		s.hungUp++
		return false
	}
	s.callers[uid] = c
	c.open++
	s.open++
	if !s.trusted[uid] {
		s.strangersOpen++
	}
	return true
}

// disconnect is the end of a connection.
func (s *slots) disconnect(uid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.callers[uid]
	c.open--
	s.open--
	if !s.trusted[uid] {
		s.strangersOpen--
	}
	if c.open == 0 {
		delete(s.callers, uid)
	}
}

// anybody reports whether there is a connection.
func (s *slots) anybody() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open > 0
}

// fits reports whether one more is not too many, where a user has own, all strangers
// have theirs, and everybody has total of limit.
func (s *slots) fits(uid, own, theirs, total, limit int) bool {
	if total >= limit {
		return false
	}
	return s.trusted[uid] || own < max(1, limit/10) && theirs < max(1, limit*3/4)
}

// begin waits until the user, who has a connection, may have one more job.
func (s *slots) begin(uid int) {
	s.mu.Lock()
	c := s.callers[uid]
	if len(c.line) == 0 && s.fits(uid, c.held, s.strangers, s.held, s.jobs) {
		s.give(c)
		s.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	if len(c.line) == 0 {
		s.waiting++
	}
	c.line = append(c.line, turn)
	s.waited++
	s.mu.Unlock()
	<-turn
}

// end is the end of a job. Whoever may begin one now does, in no order of users.
func (s *slots) end(uid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callers[uid].held--
	s.held--
	if !s.trusted[uid] {
		s.strangers--
	}
	if s.waiting == 0 {
		return
	}
	for _, c := range s.callers {
		for len(c.line) > 0 && s.fits(c.uid, c.held, s.strangers, s.held, s.jobs) {
			s.give(c)
			close(c.line[0])
			if c.line = c.line[1:]; len(c.line) == 0 {
				s.waiting--
			}
		}
	}
}

// give counts a job.
func (s *slots) give(c *caller) {
	c.held++
	s.held++
	if !s.trusted[c.uid] {
		s.strangers++
	}
}
