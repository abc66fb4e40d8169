package qmqpc

import (
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// errSocket says that there is no socket to be had: other servers will not help.
var errSocket = errors.New("no socket")

// conn is a connection to a server, in which no wait is longer than each.
type conn struct {
	*os.File
	now  func() time.Time
	each time.Duration
}

func (c *conn) Read(b []byte) (int, error) {
	c.SetReadDeadline(c.now().Add(c.each))
	return c.File.Read(b)
}

func (c *conn) Write(b []byte) (int, error) {
	c.SetWriteDeadline(c.now().Add(c.each))
	return c.File.Write(b)
}

// dial connects to a server.
func (c client) dial(server netip.AddrPort) (*conn, error) {
	family, address := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(server.Port()), Addr: server.Addr().As16()})
	if server.Addr().Is4() {
		family, address = unix.AF_INET, &unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	switch {
	case err == unix.EAFNOSUPPORT:
		return nil, os.NewSyscallError("socket", err) // another server may have the other family
	case err != nil:
		return nil, errSocket
	}
	unix.CloseOnExec(fd)
	// What is to be sent at once is gathered by us.
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err = unix.SetNonblock(fd, true); err == nil {
		err = unix.Connect(fd, address)
	}
	if err != nil && err != unix.EINPROGRESS && err != unix.EINTR {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	f := os.NewFile(uintptr(fd), server.String())
	f.SetWriteDeadline(c.now().Add(c.connect))
	if err = connected(f); err != nil {
		f.Close()
		return nil, err
	}
	return &conn{f, c.now, c.each}, nil
}

// connected waits until f is connected or cannot be.
func connected(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	waited := raw.Write(func(fd uintptr) (over bool) {
		var number int
		if number, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
			return true
		}
		if number != 0 {
			err = unix.Errno(number)
			return true
		}
		_, err = unix.Getpeername(int(fd))
		return err != unix.ENOTCONN
	})
	if waited != nil {
		return waited
	}
	return err
}
