// Package crew runs functions beside each other in goroutines that it keeps. A goroutine
// begins with a small stack, and to grow it step by step takes longer than most jobs of
// a warm program do.
package crew

// Crew is a number of goroutines.
type Crew struct {
	next    chan func()
	waiting chan struct{} // one entry for each that waits for work, or is about to
}

// New returns a Crew that keeps up to spare goroutines while there is nothing to do.
func New(spare int) *Crew {
	return &Crew{next: make(chan func()), waiting: make(chan struct{}, spare)}
}

// Go has f run, at once: by a goroutine that waits for work, or by a new one.
func (c *Crew) Go(f func()) {
	select {
	case c.next <- f:
	default:
		go c.work(f)
	}
}

func (c *Crew) work(f func()) {
	for {
		f()
		select {
		case c.waiting <- struct{}{}:
		default: // enough others wait
			return
		}
		f = <-c.next
		<-c.waiting
	}
}
