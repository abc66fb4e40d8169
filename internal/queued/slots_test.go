package queued

import (
	"sync"
	"testing"
	"time"
)

// Users by number: 0 is trusted, all others are strangers.
func slotsFor(files int) *slots { return newSlots(files, map[int]bool{0: true}) }

func TestSlotsFitTheFiles(t *testing.T) {
	for _, files := range []int{leastFiles, 1024, 20000, mostFiles} {
		s := slotsFor(files)
		if s.jobs < 10 || s.connections < s.jobs || 3*s.jobs+s.connections+reserve > files {
			t.Errorf("%d files: %d jobs, %d connections", files, s.jobs, s.connections)
		}
	}
}

func TestConnections(t *testing.T) {
	s := slotsFor(1024)
	fill := func(uid int) (n int) {
		for s.connect(uid) {
			n++
		}
		return n
	}
	if got := fill(1); got != s.connections/10 {
		t.Errorf("one stranger has %d of %d", got, s.connections)
	}
	total := s.connections / 10
	for uid := 2; uid < 20; uid++ {
		total += fill(uid)
	}
	if total != s.connections*3/4 {
		t.Errorf("all strangers have %d of %d", total, s.connections)
	}
	if got := fill(0); got != s.connections-total {
		t.Errorf("root has %d of the last %d", got, s.connections-total)
	}
	s.disconnect(1)
	if s.connect(2) || !s.connect(0) {
		t.Error("a place that a stranger gives up is not the first one's who asks")
	}
}

// Jobs of many users, more than there is room for: nobody waits for ever, and no bound
// is passed at any time.
func TestJobs(t *testing.T) {
	s := slotsFor(1024)
	var all sync.WaitGroup
	for i := range 400 {
		uid := i % 8
		for !s.connect(uid) {
			t.Fatalf("no room for connection %d", i)
		}
		all.Add(1)
		go func() {
			defer all.Done()
			for range 20 {
				s.begin(uid)
				s.mu.Lock()
				if s.held > s.jobs || s.strangers > s.jobs*3/4 || uid != 0 && s.callers[uid].held > max(1, s.jobs/10) {
					t.Errorf("%d jobs, %d of strangers, %d of user %d", s.held, s.strangers, s.callers[uid].held, uid)
				}
				s.mu.Unlock()
				s.end(uid)
			}
			s.disconnect(uid)
		}()
	}
	done := make(chan bool)
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		t.Fatal("somebody waits for ever")
	}
	if s.held != 0 || s.strangers != 0 || s.open != 0 || s.strangersOpen != 0 || s.waiting != 0 || len(s.callers) != 0 {
		t.Errorf("left: %+v", s)
	}
}
