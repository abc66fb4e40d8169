//go:build linux && (amd64 || arm64)

package nowait

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func read(fd int, b []byte) (int, error) { return transfer(unix.SYS_READ, fd, b) }

func write(fd int, b []byte) (int, error) { return transfer(unix.SYS_WRITE, fd, b) }

func transfer(call uintptr, fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return result(unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))))
}

func result(n, _ uintptr, errno unix.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func send(fd int, packet, control []byte) error {
	var part unix.Iovec
	h := header(&part, packet, control)
	_, err := result(unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&h)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT))
	return err
}

func receive(fd int, packet, control []byte) (n, oobn, flags int, err error) {
	var part unix.Iovec
	h := header(&part, packet, control)
	n, err = result(unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&h)), unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT))
	return n, int(h.Controllen), int(h.Flags), err
}

// header tells the kernel of packet, which is not empty, and of control.
func header(part *unix.Iovec, packet, control []byte) (h unix.Msghdr) {
	part.Base = &packet[0]
	part.SetLen(len(packet))
	h.Iov = part
	h.SetIovlen(1)
	if len(control) > 0 {
		h.Control = &control[0]
		h.SetControllen(len(control))
	}
	return h
}

func peek(fd int, b []byte) (int, error) {
	return result(unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0))
}

func shut(fd int) error {
	_, err := result(unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0))
	return err
}

// writable reports whether there is room for what is written.
func writable(fd int) bool {
	ask := unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	var now unix.Timespec
	n, err := result(unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&ask)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0))
	return err == nil && n == 1 && ask.Revents&unix.POLLOUT != 0
}

// replace closes a descriptor and gives its number to a copy of another.
func replace(fd, by int) error {
	_, err := result(unix.RawSyscall(unix.SYS_DUP3, uintptr(by), uintptr(fd), unix.O_CLOEXEC))
	return err
}

func fcntl(fd, command, argument int) (int, error) {
	return result(unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), uintptr(command), uintptr(argument)))
}

func fstat(fd int, st *unix.Stat_t) error {
	_, err := result(unix.RawSyscall(unix.SYS_FSTAT, uintptr(fd), uintptr(unsafe.Pointer(st)), 0))
	return err
}

// here is the working directory, for calls that take a directory.
const here = ^uintptr(-unix.AT_FDCWD - 1)

func stat(path string, st *unix.Stat_t) error {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	_, err = result(unix.RawSyscall6(unix.SYS_NEWFSTATAT, here, uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(st)), 0, 0, 0))
	return err
}

func open(path string, flags int) (int, error) {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return 0, err
	}
	return result(unix.RawSyscall6(unix.SYS_OPENAT, here, uintptr(unsafe.Pointer(name)), uintptr(flags|unix.O_CLOEXEC|unix.O_LARGEFILE), 0, 0, 0))
}

func unlink(path string) error {
	name, err := unix.BytePtrFromString(path)
	if err == nil {
		_, err = result(unix.RawSyscall(unix.SYS_UNLINKAT, here, uintptr(unsafe.Pointer(name)), 0))
	}
	return err
}

func accept(fd int) (conn int, from syscall.Sockaddr, err error) {
	var sa unix.RawSockaddrAny
	size := uint32(unsafe.Sizeof(sa))
	conn, err = result(unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), unix.SOCK_CLOEXEC, 0, 0))
	if err != nil {
		return -1, nil, err
	}
	switch sa.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&sa))
		from = &syscall.SockaddrInet4{Addr: in.Addr, Port: port(in.Port)}
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(&sa))
		from = &syscall.SockaddrInet6{Addr: in.Addr, Port: port(in.Port), ZoneId: in.Scope_id}
	}
	return conn, from, nil
}

// port is a number in the network's order of bytes.
func port(p uint16) int {
	b := binary.NativeEndian.AppendUint16(nil, p)
	return int(binary.BigEndian.Uint16(b))
}

// void sets an option of a socket to nothing.
func void(fd, level, option int) error {
	_, err := result(unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option), 0, 0, 0))
	return err
}
