//go:build !linux

package queued

import (
	"errors"
	"os"
)

// errBusy says that somebody else has the lock.
var errBusy = errors.New("locked")

// Without sockets that know who calls, nothing here is ever reached but tryLock, which
// says so.

func tryLock(*os.File) error       { return errors.ErrUnsupported }
func orphaned(int) <-chan struct{} { return nil }
func openFiles() int               { return leastFiles }
