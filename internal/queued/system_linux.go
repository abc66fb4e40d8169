package queued

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// errBusy says that somebody else has the lock.
var errBusy = errors.New("locked")

// tryLock locks a file for as long as it is open.
func tryLock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		return errBusy
	}
	return err
}

// orphaned returns a channel that is closed when the parent of this process has gone.
// A descriptor of the parent tells at once; a kernel without those (before 5.3) is
// asked each second who the parent is.
func orphaned(parent int) <-chan struct{} {
	gone := make(chan struct{})
	fd, err := unix.PidfdOpen(parent, 0)
	go func() {
		defer close(gone)
		if err == nil {
			defer unix.Close(fd)
			for os.Getppid() == parent { // or it was gone before we opened what is another's
				poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
				if n, err := unix.Poll(poll, -1); n > 0 || err != unix.EINTR {
					return
				}
			}
			return
		}
		for os.Getppid() == parent {
			time.Sleep(time.Second)
		}
	}()
	return gone
}

// openFiles returns how many files this process may have open.
func openFiles() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return leastFiles
	}
	return int(min(l.Cur, mostFiles))
}
