package warm

import (
	"runtime/debug"
	"sync"
	"time"
)

// tidy gives memory back to the system that a burst of jobs has left. The collector
// does so by itself, but only as it goes round, which it does not where nothing
// happens: and many jobs that wait are such a place.
type tidy struct {
	mu          sync.Mutex
	jobs, noted int
	armed       bool
}

// A burst is so many jobs, and over when none has begun for so long.
const (
	burst = 500
	lull  = time.Second
)

// begun counts a job, or one that goes on after a pause.
func (t *tidy) begun() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.jobs++
	if t.jobs >= burst && !t.armed {
		t.armed, t.noted = true, t.jobs
		time.AfterFunc(lull, t.look)
	}
}

// look tidies up if nothing has begun lately.
func (t *tidy) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.jobs != t.noted {
		t.noted = t.jobs
		time.AfterFunc(lull, t.look)
		return
	}
	t.jobs, t.armed = 0, false
	go debug.FreeOSMemory()
}
