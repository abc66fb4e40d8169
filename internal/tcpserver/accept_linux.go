package tcpserver

import "golang.org/x/sys/unix"

// acceptSocket accepts a connection from the listening socket fd: blocking, and
// closed on exec from its first moment.
func acceptSocket(fd int) (int, unix.Sockaddr, error) {
	return unix.Accept4(fd, unix.SOCK_CLOEXEC)
}
