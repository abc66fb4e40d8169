package proc

import (
	"os"

	"golang.org/x/sys/unix"
)

// await returns when process has ended, or at once where the kernel offers no way
// to wait but by holding a thread in wait. A server with a thousand programs would
// otherwise need a thousand threads, and dies if it may not have them.
func await(process *os.Process) {
	handle := -1
	process.WithHandle(func(pidfd uintptr) {
		handle, _ = unix.FcntlInt(pidfd, unix.F_DUPFD_CLOEXEC, 3)
	})
	if handle < 0 {
		return
	}
	// Not blocking: this is what makes the runtime's poller take it. It is one mode
	// with the handle that wait uses, which has to block if the poller fails.
	ended := false
	unix.SetNonblock(handle, true)
	f := os.NewFile(uintptr(handle), "process")
	defer f.Close()
	if raw, err := f.SyscallConn(); err == nil {
		raw.Read(func(fd uintptr) bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			ended = n > 0
			return ended || err != nil && err != unix.EINTR
		})
	}
	if !ended {
		unix.SetNonblock(handle, false)
	}
}
