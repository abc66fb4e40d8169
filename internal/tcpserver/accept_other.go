//go:build !linux

package tcpserver

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// acceptSocket accepts a connection from the listening socket fd: blocking, which
// it may not be at first, and closed on exec before a program can be started.
func acceptSocket(fd int) (int, syscall.Sockaddr, error) {
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
