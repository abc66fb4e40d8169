package suite

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// watchQueue counts executions of qmail-queue in the background. To execute a file is
// to open it, and nobody else does.
func watchQueue(t testing.TB, program, socket string) *executions {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, program, unix.IN_OPEN)
	}
	if err != nil {
		t.Fatal(err)
	}
	events := os.NewFile(uintptr(fd), "watch")
	ended := make(chan struct{})
	e := &executions{close: func() {
		events.Close()
		<-ended
	}}
	go func() {
		defer close(ended)
		b := make([]byte, 64<<10)
		for {
			n, err := events.Read(b)
			if err != nil {
				return
			}
			if _, err := os.Lstat(socket); err == nil {
				e.n.Add(int64(n / unix.SizeofInotifyEvent))
			}
		}
	}()
	return e
}
