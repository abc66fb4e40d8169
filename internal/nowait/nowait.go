// Package nowait makes system calls of which it is known that they do not wait, and on
// Linux without telling the runtime. That would look after each as one that may be away
// for long: where a process has slept until now, another of its threads is woken for
// that, which is a large part of what a message costs.
//
// A call that waits anyway keeps all other goroutines of a processor waiting. What names a
// file (Open, Stat, Unlink) may have to wait for a disk: that is for programs that have
// nothing else to do meanwhile, or no more than their originals, which wait as well.
package nowait

import (
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Read reads from a descriptor that does not block, and is unix.Read otherwise.
func Read(fd int, b []byte) (n int, err error) { return read(fd, b) }

// Write writes to a descriptor that does not block, and is unix.Write otherwise.
func Write(fd int, b []byte) (n int, err error) { return write(fd, b) }

// Send sends a packet and control messages, if not nil, to a socket. It returns
// unix.EAGAIN if there is no room.
func Send(fd int, packet, control []byte) error { return send(fd, packet, control) }

// Receive receives a packet and control messages from a socket, descriptors among them
// closed on exec, and returns their sizes and the flags of recvmsg. It returns
// unix.EAGAIN if there is none.
func Receive(fd int, packet, control []byte) (n, oobn, flags int, err error) {
	return receive(fd, packet, control)
}

// Peek is Read for a socket, but leaves there what there is.
func Peek(fd int, b []byte) (n int, err error) { return peek(fd, b) }

// Open opens a file that is there; it is closed on exec.
func Open(path string, flags int) (fd int, err error) { return open(path, flags) }

// Stat is unix.Stat.
func Stat(path string, st *unix.Stat_t) error { return stat(path, st) }

// Fstat is unix.Fstat.
func Fstat(fd int, st *unix.Stat_t) error { return fstat(fd, st) }

// Fcntl is unix.FcntlInt.
func Fcntl(fd, command, argument int) (int, error) { return fcntl(fd, command, argument) }

// Unlink is unix.Unlink.
func Unlink(path string) error { return unlink(path) }

// Accept takes a connection from a listening socket that does not block. The connection
// blocks, and is closed on exec.
func Accept(listener int) (conn int, from syscall.Sockaddr, err error) { return accept(listener) }

// Void sets an option of a socket to nothing.
func Void(fd, level, option int) error { return void(fd, level, option) }

// File is a descriptor without what an os.File has to offer; it has to be closed.
type File struct{ fd atomic.Int64 }

// NewFile takes a descriptor.
func NewFile(fd int) *File {
	f := new(File)
	f.fd.Store(int64(fd))
	return f
}

// Fd returns the descriptor, which is no number if the file is closed.
func (f *File) Fd() uintptr { return uintptr(f.fd.Load()) }

// Close closes the descriptor, once.
func (f *File) Close() {
	if fd := f.fd.Swap(-1); fd >= 0 {
		shut(int(fd))
	}
}
