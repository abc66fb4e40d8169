package tcpserver

import (
	"errors"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/nowait"
	"quail/internal/privs"
	"quail/internal/prog"
)

// listener is a listening socket. Connections come from it as plain descriptors
// in blocking mode, which is how their programs expect them.
type listener struct {
	file *os.File
	raw  syscall.RawConn
	port uint16
	is6  bool
}

// listen opens the port at, on IPv4 or on IPv6 but never on both: "::" is IPv6
// alone, whatever the system's default is, so that each connection has the form of
// address that its rules are written for.
func listen(at netip.AddrPort, backlog int) (*listener, error) {
	family := unix.AF_INET
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, prog.Fail("unable to create socket", err)
	}
	unix.CloseOnExec(fd)
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return nil, prog.Fail("unable to create socket", err)
		}
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, sockaddr(at)); err != nil {
		return nil, prog.Fail("unable to bind", err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, prog.Fail("unable to bind", err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return nil, prog.Fail("unable to listen", err)
	}
	// Not blocking: then the runtime waits, and no thread has to.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, prog.Fail("unable to listen", err)
	}
	l := &listener{file: os.NewFile(uintptr(fd), "listener"), port: addrPort(bound).Port(), is6: family == unix.AF_INET6}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		return nil, prog.Fail("unable to listen", err)
	}
	return l, nil
}

// accept waits for a connection and returns its descriptor, which is in blocking
// mode and stays in this process.
func (l *listener) accept() (fd int, remote netip.AddrPort, err error) {
	var sa syscall.Sockaddr
	waitErr := l.raw.Read(func(listening uintptr) bool {
		fd, sa, err = nowait.Accept(int(listening))
		return !errors.Is(err, unix.EAGAIN)
	})
	if waitErr != nil {
		return 0, remote, waitErr
	}
	if err != nil {
		return 0, remote, err
	}
	return fd, addrPort(sa), nil
}

// ofConnection reports whether err, from accept, is of a connection that broke
// before it was accepted, and not of the listener or the machine.
func ofConnection(err error) bool {
	var no syscall.Errno
	if !errors.As(err, &no) {
		return false
	}
	switch no {
	case unix.EINTR, unix.ECONNABORTED, unix.EPROTO, unix.ENOPROTOOPT, unix.EOPNOTSUPP,
		unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ETIMEDOUT:
		return true
	}
	return false
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// addrPort returns the address in sa, which is none if it is of no known family.
func addrPort(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// drop gives up what the options -g, -u and -U say is not needed any more; 0
// leaves things as they are.
func drop(uid, gid int) error {
	// 1. The group, with groups {gid}, while this is still root.
	if gid != 0 {
		if os.Geteuid() != 0 && gid != os.Getegid() {
			return prog.Fail("unable to set gid", syscall.EPERM)
		}
		if err := privs.DropTo(privs.Identity{UID: os.Geteuid(), GID: gid}); err != nil {
			return prog.Fail("unable to set gid", err)
		}
	}
	// 2. The user. Groups stay as they are: without -g they are the caller's business.
	if uid != 0 {
		groups, err := syscall.Getgroups()
		if err != nil {
			return prog.Fail("unable to set uid", err)
		}
		id := privs.Identity{UID: uid, GID: os.Getegid(), Groups: append([]int{}, groups...)}
		if err := privs.DropTo(id); err != nil {
			return prog.Fail("unable to set uid", err)
		}
	}
	return nil
}
