package ucspi

import "sync"

// Lounge is where connections wait for clients that take their time. A goroutine that
// waits has a stack; a guest here has nothing but an entry.
//
// The zero value is ready to be used. On systems other than Linux it takes nobody.
type Lounge struct {
	mu     sync.Mutex
	guests map[int]*guest // by descriptor
	poll   poll
}
