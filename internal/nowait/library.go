//go:build !linux || (!amd64 && !arm64)

package nowait

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func read(fd int, b []byte) (int, error) { return unix.Read(fd, b) }

func write(fd int, b []byte) (int, error) { return unix.Write(fd, b) }

func send(fd int, packet, control []byte) error {
	return unix.Sendmsg(fd, packet, control, nil, unix.MSG_DONTWAIT)
}

func receive(fd int, packet, control []byte) (n, oobn, flags int, err error) {
	n, oobn, flags, _, err = unix.Recvmsg(fd, packet, control, unix.MSG_DONTWAIT)
	return n, oobn, flags, err
}

func peek(fd int, b []byte) (int, error) {
	n, _, err := unix.Recvfrom(fd, b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n, err
}

func shut(fd int) error { return unix.Close(fd) }

// writable is for systems where it spares nothing.
func writable(int) bool { return false }

// replace is for systems where it spares nothing.
func replace(int, int) error { return unix.ENOSYS }

func fcntl(fd, command, argument int) (int, error) {
	return unix.FcntlInt(uintptr(fd), command, argument)
}

func fstat(fd int, st *unix.Stat_t) error { return unix.Fstat(fd, st) }

func stat(path string, st *unix.Stat_t) error { return unix.Stat(path, st) }

func open(path string, flags int) (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, 0) }

func unlink(path string) error { return unix.Unlink(path) }

// accept has the connection closed on exec before a program can be started, and blocking,
// which it may not be at first.
func accept(fd int) (int, syscall.Sockaddr, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	conn, sa, err := syscall.Accept(fd)
	if err != nil {
		return -1, nil, err
	}
	unix.CloseOnExec(conn)
	if err := unix.SetNonblock(conn, false); err != nil {
		unix.Close(conn)
		return -1, nil, err
	}
	return conn, sa, nil
}

func void(fd, level, option int) error { return unix.SetsockoptString(fd, level, option, "") }
