package ucspi

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawRead and rawWrite are read and write on a socket that does not block, without
// telling the runtime, which would else look after the thread as one that may be away
// for long.

func rawRead(fd int, b []byte) (int, error) { return raw(unix.SYS_READ, fd, b) }

func rawWrite(fd int, b []byte) (int, error) { return raw(unix.SYS_WRITE, fd, b) }

func raw(call uintptr, fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
