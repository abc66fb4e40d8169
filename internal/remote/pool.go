package remote

import (
	"errors"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/nexthop"
)

// Bounds on sessions that are kept.
const (
	maxIdleTime = 4 * time.Second // below what servers bear with
	maxAge      = 5 * time.Minute
	maxUsed     = 100 // transactions
	maxIdleHost = 20  // idle sessions with one host
	maxIdle     = 200 // and with all
	// lastWord is how long QUIT may take in a session that nobody has wanted.
	lastWord = time.Second
	// limitWait is how long a job waits where control/remotelimits lets it not go on
	// at once. After that it is better tried again later: qmail-send has other mail.
	limitWait = 5 * time.Second
)

// pool is the sessions with other hosts, by where their mail is to go: whose turn
// it is to use one, and which wait to be used again.
type pool struct {
	mu    sync.Mutex
	hosts map[nexthop.Target]*host
	idle  int
}

// host is the sessions with one of them.
type host struct {
	idle    []*session // the one used last at the end
	open    int        // all, and those that are about to be opened
	waiting []*waiter
}

// waiter is a group without a session.
type waiter struct {
	group *group
	turn  chan handover
}

// handover is a session, or, without one, the right to open it. If the session had
// another transaction before, the beginning of the next one may have been sent
// together with the end of that.
type handover struct {
	session *session
	begun   *transaction
}

// take gives the group a session, or none and the right to open one, of which there
// are at most most; 0 stands for any number. It is false if that would take too long.
func (p *pool) take(g *group, most int) bool {
	t := g.target.Key()
	for {
		s, w := p.reserve(g, t, most)
		switch {
		case w != nil:
			return p.await(w, t)
		case s == nil:
			return true
		case s.fits(g) && s.alive(g.first.now()):
			g.session = s
			return true
		}
		s.quit()
		p.drop(t)
	}
}

// reserve takes an idle session or the right to open one, or else a place in the
// queue.
func (p *pool) reserve(g *group, t nexthop.Target, most int) (*session, *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[t]
	if h == nil {
		h = new(host)
		if p.hosts == nil {
			p.hosts = make(map[nexthop.Target]*host)
		}
		p.hosts[t] = h
	}
	if n := len(h.idle); n > 0 {
		s := h.idle[n-1]
		h.idle = h.idle[:n-1]
		p.idle--
		s.timer.Stop()
		return s, nil
	}
	if most == 0 || h.open < most {
		h.open++
		return nil, nil
	}
	w := &waiter{g, make(chan handover, 1)}
	h.waiting = append(h.waiting, w)
	return nil, w
}

// await waits for a turn.
func (p *pool) await(w *waiter, t nexthop.Target) bool {
	late := time.NewTimer(limitWait)
	defer late.Stop()
	select {
	case turn := <-w.turn:
		w.group.session, w.group.begun = turn.session, turn.begun
		return true
	case <-late.C:
	}
	if p.leave(w, t) {
		return false
	}
	turn := <-w.turn // it came in the last moment
	w.group.session, w.group.begun = turn.session, turn.begun
	return true
}

// leave gives up a place in the queue, if it is still there.
func (p *pool) leave(w *waiter, t nexthop.Target) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[t]
	if h == nil {
		return false
	}
	i := slices.Index(h.waiting, w)
	if i < 0 {
		return false
	}
	h.waiting = slices.Delete(h.waiting, i, i+1)
	return true
}

// next takes the first one from the queue for a session, if there is one and the session
// fits it.
func (p *pool) next(s *session) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[s.target]
	if len(h.waiting) == 0 || !s.fits(h.waiting[0].group) {
		return nil
	}
	return h.next()
}

func (h *host) next() *waiter {
	if len(h.waiting) == 0 {
		return nil
	}
	w := h.waiting[0]
	h.waiting = h.waiting[1:]
	return w
}

// drop gives the right to have a session back.
func (p *pool) drop(t nexthop.Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[t]
	if w := h.next(); w != nil {
		w.turn <- handover{}
		return
	}
	if h.open--; h.open == 0 {
		delete(p.hosts, t)
	}
}

// put gives a session back. It goes to whoever waits, or is kept for a while.
func (p *pool) put(s *session, now time.Time) {
	if !s.reusable(now) || !p.keep(s) {
		s.quit()
		p.drop(s.target)
	}
}

func (p *pool) keep(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[s.target]
	if len(h.waiting) > 0 {
		if !s.fits(h.waiting[0].group) {
			return false
		}
		h.next().turn <- handover{session: s}
		return true
	}
	if len(h.idle) == maxIdleHost || p.idle == maxIdle {
		return false
	}
	h.idle = append(h.idle, s)
	p.idle++
	if s.timer == nil {
		s.timer = time.AfterFunc(maxIdleTime, func() { p.expire(s) })
	} else {
		s.timer.Reset(maxIdleTime)
	}
	return true
}

// expire ends a session that nobody has wanted.
func (p *pool) expire(s *session) {
	p.mu.Lock()
	h := p.hosts[s.target]
	i := -1
	if h != nil {
		i = slices.Index(h.idle, s)
	}
	if i >= 0 {
		h.idle = slices.Delete(h.idle, i, i+1)
		p.idle--
	}
	p.mu.Unlock()
	if i >= 0 {
		s.timeout = lastWord
		s.quit()
		p.drop(s.target)
	}
}

// end ends all sessions that are idle.
func (p *pool) end() {
	p.mu.Lock()
	var all []*session
	for _, h := range p.hosts {
		all = append(all, h.idle...)
	}
	p.mu.Unlock()
	for _, s := range all {
		p.expire(s)
	}
}

// reusable reports whether the session may carry another transaction.
func (s *session) reusable(now time.Time) bool {
	return s.usable() && s.used < maxUsed && now.Sub(s.begun) < maxAge
}

// drained reports whether nothing that the server has said waits inside of TLS.
func (s *session) drained() bool {
	if s.secure.SetReadDeadline(s.begun) != nil { // long ago, so nothing is waited for
		return false
	}
	_, err := s.secure.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// fits reports whether the session has begun as the group's control files want it.
func (s *session) fits(g *group) bool {
	return s.helo == g.heloHost && s.terms.trust == g.trusted()
}

// alive reports whether an idle session still stands. A server that has anything to
// say now says that it does not.
func (s *session) alive(now time.Time) bool {
	if !s.reusable(now) || s.in.Buffered() > 0 {
		return false
	}
	conn, ok := s.socket.(syscall.Conn)
	if !ok || s.secure != nil && !s.drained() {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	silent := false
	err = raw.Control(func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK)
		silent = err == unix.EAGAIN
	})
	return silent && err == nil
}
