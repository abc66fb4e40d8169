package suite

import (
	"testing"

	"golang.org/x/sys/unix"
)

// watchQueue counts executions of qmail-queue. To execute a file is to open it, and
// nobody else does.
func watchQueue(t testing.TB, program, socket string) *executions {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, program, unix.IN_OPEN)
	}
	if err != nil {
		t.Fatal(err)
	}
	recent := func() (events int) {
		b := make([]byte, 64<<10)
		for {
			n, err := unix.Read(fd, b)
			if n <= 0 || err != nil {
				return events
			}
			events += n / unix.SizeofInotifyEvent
		}
	}
	return &executions{socket: socket, recent: recent, close: func() { unix.Close(fd) }}
}
