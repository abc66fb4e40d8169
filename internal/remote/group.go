package remote

import (
	"io"
	"sync"
	"syscall"
	"time"

	"quail/internal/nexthop"
)

const (
	// maxShared is how many recipients a transaction of many jobs has at most: all
	// servers take so many (RFC 5321, 4.5.3.1.8).
	maxShared = 100

	// quiet is how long after a job that joined a group another one is waited for:
	// qmail-send hands out recipients in bursts. The wait ends in any case after
	// patience, or after morePatience where the message is known to have more
	// recipients.
	quiet        = time.Millisecond
	patience     = 4 * time.Millisecond
	moreQuiet    = 3 * time.Millisecond
	morePatience = 30 * time.Millisecond

	// together is how long a group that is not full waits for the one before it, of
	// the same message: when that ends many jobs come at once.
	together = time.Second
)

// group is jobs that share a transaction. The first of them leads: it does what
// there is to do while the others wait.
type group struct {
	controls
	target  nexthop.Target
	first   *mail        // the leader's
	mails   []*mail      // all; as long as others may join, under the lock of gathering
	session *session     // nil as long as there is none, and again when it is given away
	begun   *transaction // of this group, if its first commands have been sent already
	heir    *waiter      // the group that gets the session next

	lane    *lane         // nil for a group that nobody can join
	sealed  bool          // nobody can any more
	full    chan struct{} // closed when it is sealed because no more mail is to be expected
	follows bool          // after another group of the message
	opened  time.Time
	joined  time.Time // the last mail
}

// lane is all groups of one message that go to one host from one sender. With a
// sender made for each recipient (VERP) each recipient has its own.
type lane struct {
	key      laneKey
	open     *group        // the one that is not sealed
	underway int           // how many are sealed and not done
	clear    chan struct{} // closed when that becomes 0
	many     bool          // mail has been shared: there may be more of it
	owed     int           // jobs that have ended and in whose place none has come yet
	left     time.Time     // when the last group was done
}

// laneKey names a message by its file, and by where in it the jobs begin to read.
type laneKey struct {
	device, inode uint64
	offset        int64
	sender        string
	target        nexthop.Target
}

// remembered is how long it is known that a message has many recipients. Each that
// is done makes room for the next one in qmail-send.
const remembered = time.Second

// gathering is the lanes in use. A message file cannot be replaced by another with
// its number while it is in use here: the jobs hold it open.
type gathering struct {
	mu    sync.Mutex
	lanes map[laneKey]*lane
	swept time.Time
}

// message finds out what m is to be known by; a message that is no file is like no
// other.
func (m *mail) message() (key laneKey, ok bool) {
	info, err := m.text.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return laneKey{}, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return laneKey{}, false
	}
	offset, err := m.text.Seek(0, io.SeekCurrent)
	return laneKey{device: uint64(st.Dev), inode: uint64(st.Ino), offset: offset, sender: m.sender}, err == nil
}

// join puts m into the group that it can share a transaction with, and says whether
// that is a new one, which m's job has to lead.
func (a *gathering) join(m *mail, c controls, t nexthop.Target) (g *group, mine bool) {
	now := m.now()
	g = &group{controls: c, target: t, first: m, mails: []*mail{m}, opened: now, joined: now}
	key, ok := m.message()
	if !ok || len(m.recipients) > 1 {
		return g, true
	}
	key.target = t
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.lane(key, now)
	l.owed = max(0, l.owed-1)
	m.ended = func() {
		a.mu.Lock()
		l.owed++
		a.mu.Unlock()
	}
	if l.open == nil {
		g.lane, l.open, g.full = l, g, make(chan struct{})
		g.follows = l.many
		return g, true
	}
	l.many = true
	g = l.open
	g.mails = append(g.mails, m)
	g.joined = now
	if len(g.mails) == maxShared || g.complete() {
		g.seal()
		close(g.full)
	}
	return g, false
}

// complete reports whether as many jobs have come as have ended before: qmail-send
// hands out no more recipients than it hears of. The lock is held.
func (g *group) complete() bool {
	return g.follows && g.lane.owed == 0 && g.lane.underway == 0
}

// lane returns that of a key. The lock is held.
func (a *gathering) lane(key laneKey, now time.Time) *lane {
	if a.lanes == nil {
		a.lanes = make(map[laneKey]*lane)
	}
	if now.Sub(a.swept) > remembered {
		for _, l := range a.lanes {
			if l.unused() && now.Sub(l.left) > remembered {
				delete(a.lanes, l.key)
			}
		}
		a.swept = now
	}
	l := a.lanes[key]
	if l == nil {
		l = &lane{key: key}
		a.lanes[key] = l
	}
	return l
}

func (l *lane) unused() bool { return l.open == nil && l.underway == 0 }

// seal closes the group to further mail. The lock is held.
func (g *group) seal() {
	g.sealed = true
	g.lane.open = nil
	g.lane.start()
}

// start and done count the groups underway. The lock is held.
func (l *lane) start() {
	if l.underway++; l.underway == 1 {
		l.clear = make(chan struct{})
	}
}

func (l *lane) done() {
	if l.underway--; l.underway == 0 {
		close(l.clear)
	}
}

// follow waits for the groups that are underway with the same message: as long as
// they are, more mail may join this one.
func (a *gathering) follow(g *group) {
	if g.lane == nil {
		return
	}
	a.mu.Lock()
	clear := g.lane.clear
	wait := !g.sealed && g.lane.underway > 0
	a.mu.Unlock()
	if !wait {
		return
	}
	late := time.NewTimer(together)
	defer late.Stop()
	select {
	case <-clear:
	case <-g.full:
	case <-late.C:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g.follows = true
	g.opened = g.first.now()
}

// gather waits until no more mail is to be expected for the group, and seals it.
func (a *gathering) gather(g *group) {
	for g.lane != nil {
		wait := a.remaining(g)
		if wait <= 0 {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-g.full:
			timer.Stop()
		}
	}
}

// remaining is how long mail for the group is still waited for; at the end of that
// it is sealed.
func (a *gathering) remaining(g *group) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if g.sealed {
		return 0
	}
	now, pause, most := g.first.now(), quiet, patience
	if g.follows {
		pause, most = moreQuiet, morePatience
	}
	wait := min(g.joined.Add(pause).Sub(now), g.opened.Add(most).Sub(now))
	if wait <= 0 || g.complete() {
		g.lane.owed = 0
		g.seal()
		return 0
	}
	return wait
}

// close seals the group without waiting.
func (a *gathering) close(g *group) {
	if g.lane == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !g.sealed {
		g.seal()
	}
}

// depart takes a group that is done off its lane. If something is left of it that
// goes on as another group.
func (a *gathering) depart(g *group, rest *group) {
	if g.lane == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !g.sealed {
		g.seal()
	}
	if rest != nil {
		rest.lane, rest.sealed = g.lane, true
		rest.lane.start()
	}
	g.lane.done()
	g.lane.left = g.first.now()
	if g.lane.unused() && !g.lane.many {
		delete(a.lanes, g.lane.key)
	}
}
