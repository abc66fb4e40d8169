package warm

import (
	"runtime"
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

// Frugal makes this process one that leaves machine and memory to others, as one does
// that serves many and does little for each. It is called once, by main's goroutine.
func Frugal() {
	// What is in use is little by itself; it is a lot for thousands of jobs that wait,
	// and then half as much again has to do for what is not.
	debug.SetGCPercent(50)
	// Work that wakes another processor for a few microseconds costs more than it gains.
	runtime.GOMAXPROCS(max(1, runtime.NumCPU()/2))
}
