package tcpserver

import "syscall"

// acceptSocket accepts a connection from the listening socket fd: blocking, and
// closed on exec from its first moment. Package unix would ask for the protocol of
// each too.
func acceptSocket(fd int) (int, syscall.Sockaddr, error) {
	return syscall.Accept4(fd, syscall.SOCK_CLOEXEC)
}
