package localsocket

import (
	"os"

	"golang.org/x/sys/unix"

	"quail/internal/nowait"
)

// backlog is how many callers the kernel keeps waiting, if the host allows as many.
const backlog = 4096

func listen(path string, mode os.FileMode) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	// It gets its name when it listens and anybody may call.
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !os.IsNotExist(err) {
		unix.Close(fd)
		return nil, err
	}
	err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrUnix{Name: fresh}))
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, backlog))
	}
	if err == nil {
		err = os.Chmod(fresh, mode)
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func inherited(f *os.File) (*os.File, error) {
	// The number is kept, so that nothing else takes it; the file is a new one, which
	// waits without a thread.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func accept(listener *os.File, wait bool) (c Caller, err error) {
	raw, err := listener.SyscallConn()
	if err != nil {
		return c, err
	}
	fd := -1
	take := func(l uintptr) (over bool) {
		for {
			fd, _, err = unix.Accept4(int(l), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			if err != unix.EINTR && err != unix.ECONNABORTED {
				return err != unix.EAGAIN
			}
		}
	}
	if wait {
		if e := raw.Read(take); e != nil {
			return c, e
		}
	} else if e := raw.Control(func(l uintptr) { take(l) }); e != nil {
		return c, e
	}
	if err == unix.EAGAIN {
		return c, os.ErrDeadlineExceeded
	}
	if err != nil {
		return c, os.NewSyscallError("accept", err)
	}
	who, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		unix.Close(fd)
		return c, os.NewSyscallError("getsockopt", err)
	}
	return Caller{os.NewFile(uintptr(fd), "caller"), int(who.Uid)}, nil
}

// look sees how many bytes there are to read, of one, without taking it: none if the
// other end has hung up, and EAGAIN if it is quiet.
func look(fd uintptr) (n int, err error) {
	var b [1]byte
	for {
		n, err = nowait.Peek(int(fd), b[:])
		if err != unix.EINTR {
			return n, err
		}
	}
}

func await(c *os.File, wait bool) (there bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	try := func(fd uintptr) (over bool) {
		n, err := look(fd)
		there = err == nil && n > 0
		return err != unix.EAGAIN
	}
	if wait {
		err = raw.Read(try)
	} else {
		err = raw.Control(func(fd uintptr) { try(fd) })
	}
	return err == nil && there
}

func quiet(c *os.File) (yes bool) {
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			_, err := look(fd)
			yes = err == unix.EAGAIN
		})
	}
	return err == nil && yes
}

func dial(path string, many bool) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	name := &unix.SockaddrUnix{Name: path}
	err = unix.Connect(fd, name)
	if err == unix.EAGAIN {
		// There is no way to wait for room among the waiting but to block.
		patience := unix.NsecToTimeval(Patience.Nanoseconds())
		unix.SetNonblock(fd, false)
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience)
		err = unix.Connect(fd, name)
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{})
		unix.SetNonblock(fd, true)
	}
	if err == nil && !many {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
