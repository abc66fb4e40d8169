package prog

import (
	"os"

	"golang.org/x/sys/unix"
)

// Polled returns an end of a pipe as a file on which goroutines wait without taking a
// thread each: that would be noticed, and made up for, by another thread that has to be
// woken. Reads and writes of whoever else has this end do not wait any more. Files of
// other kinds are returned as they are.
func Polled(f *os.File) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if !isPipe(uint32(st.Mode)) {
		return f, nil
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
