package prog

import (
	"runtime"
	"sync"
)

// Threads makes sure that the process has n threads to spare. Where no more of them are
// allowed the library ends a program at the moment when it wants one, and that must not
// be between what the program has done and what it says of it.
func Threads(n int) {
	var ready, over sync.WaitGroup
	release := make(chan struct{})
	ready.Add(n)
	for range n {
		over.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-release
		})
	}
	ready.Wait()
	close(release)
	over.Wait()
}
