// Package addrwatch knows the addresses of this host at every moment, for programs
// that live long and ask often. See spec "Remote delivery", section 6.
//
// The list is that of localaddr. On Linux it is read once, and again after the kernel
// has told of a change; elsewhere, and where the kernel does not tell, it is read each
// time. Programs that live for one job ask localaddr.
//
// There is no enemy here but the passing of time: mail for an address that this host
// got a moment ago must not be sent in circles.
package addrwatch

import (
	"sync"

	"quail/internal/localaddr"
)

// Watch is the addresses of this host. The zero value is ready to be used.
type Watch struct {
	read func() (localaddr.Set, error) // nil stands for localaddr.Local

	mu       sync.Mutex
	asked    bool // whether the kernel would tell of changes
	watching bool // it does
	known    localaddr.Set
	fresh    bool // known is what the kernel says
}

// Local returns the addresses by which this host is reached now. The set is not to be
// changed.
func (w *Watch) Local() (localaddr.Set, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	read := w.read
	if read == nil {
		read = localaddr.Local
	}
	if !w.asked {
		w.asked = true
		w.watching = watch(w.changed, w.lost) == nil
	}
	if !w.watching {
		return read()
	}
	if w.fresh {
		return w.known, nil
	}
	// A change that comes from here on waits for the lock and is seen next time.
	known, err := read()
	if err != nil {
		return nil, err
	}
	w.known, w.fresh = known, true
	return known, nil
}

// changed says that what is known is no longer so.
func (w *Watch) changed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fresh = false
}

// lost says that nothing will be told any more.
func (w *Watch) lost() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watching = false
}
