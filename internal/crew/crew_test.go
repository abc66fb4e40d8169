package crew

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// goroutines waits until there are want more goroutines than before.
func goroutines(t *testing.T, before, want int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() != before+want; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines more than before, want %d", runtime.NumGoroutine()-before, want)
		}
	}
}

// However many run at once, nothing waits for another to end, and no more than the
// spare ones stay.
func TestAllAtOnce(t *testing.T) {
	before := runtime.NumGoroutine()
	c := New(3)
	for range 2 {
		var all sync.WaitGroup
		all.Add(10)
		for range 10 {
			c.Go(func() {
				all.Done()
				all.Wait() // for all the others
			})
		}
		all.Wait()
		goroutines(t, before, 3)
	}
}

// Work that comes one after the other is done by the goroutine that is there.
func TestKept(t *testing.T) {
	before := runtime.NumGoroutine()
	c := New(1)
	for range 100 {
		done := make(chan struct{})
		c.Go(func() { close(done) })
		<-done
		goroutines(t, before, 1)
	}
}

// grown uses a few kilobytes of stack.
func grown(n int) int {
	var b [1024]byte
	if n == 0 {
		return int(b[0])
	}
	return grown(n-1) + int(b[n])
}

func BenchmarkCrew(b *testing.B) {
	c := New(1)
	for b.Loop() {
		done := make(chan struct{})
		c.Go(func() { grown(8); close(done) })
		<-done
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		done := make(chan struct{})
		go func() { grown(8); close(done) }()
		<-done
	}
}
