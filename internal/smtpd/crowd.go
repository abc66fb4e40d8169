package smtpd

import (
	"sync"
	"sync/atomic"
	"time"
)

// crowd is what keeps the sessions of one process from taking what the others need:
// memory, and its time. A client of a process of its own is bounded by the system.
type crowd struct {
	memory atomic.Int64 // claimed by all sessions
	idlers sync.Mutex   // held by the one of them whose turn it is
}

// Bounds on memory, beyond what every session has.
const (
	maxClaims = 64 << 20 // bytes of all sessions
	fairClaim = 16 << 10 // bytes that each may have whatever the others have
)

// Bounds on commands that lead to no message.
const (
	patience = 10               // of them in a row are answered at once
	turn     = time.Millisecond // for each further one of any session
)

// claim takes n bytes more for a session, and reports whether they are to be had.
func (s *session) claim(n int) bool {
	s.claimed += n
	if s.sv.crowd.memory.Add(int64(n)) <= maxClaims || s.claimed <= fairClaim {
		return true
	}
	s.unclaim(n)
	return false
}

// unclaim gives n bytes back.
func (s *session) unclaim(n int) {
	s.claimed -= n
	s.sv.crowd.memory.Add(int64(-n))
}

// queueUp lets a client that does nothing but talk wait until it is its turn among
// those. Where a process serves it alone that is the system's business.
func (s *session) queueUp() {
	if s.talk++; s.talk <= patience || !s.p.Warm {
		return
	}
	s.sv.crowd.idlers.Lock()
	defer s.sv.crowd.idlers.Unlock()
	time.Sleep(turn)
}
