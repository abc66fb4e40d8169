// Package localsocket is stream sockets between programs of one host, named by files,
// whose listening end learns from the kernel who has called. It does without package
// net, which set-uid programs and those of root have no business with.
//
// It exists on Linux. Elsewhere every function but Pair fails with errors.ErrUnsupported,
// and whoever wanted to call does without, as where nobody listens.
//
// The caller may be any local user. Only bytes are taken from a connection: nothing
// here asks the kernel for descriptors that may have come with them, and it closes
// those by itself.
package localsocket

import (
	"os"
	"syscall"
	"time"
)

// Patience is how long Dial waits where there are more callers than can be queued for
// the listener.
const Patience = 10 * time.Second

// Listen makes a socket with the name path and the mode given, in place of what is
// there.
func Listen(path string, mode os.FileMode) (*os.File, error) { return listen(path, mode) }

// Inherited makes a listening socket that a parent has handed over usable.
func Inherited(f *os.File) (*os.File, error) { return inherited(f) }

// Caller is somebody who has called.
type Caller struct {
	*os.File     // the connection, which knows deadlines
	UID      int // the effective user id at the time of the call
}

// Accept waits for a caller, until the deadline of the listener.
func Accept(listener *os.File) (Caller, error) { return accept(listener, true) }

// Waiting is Accept for a caller who is there already. If there is none the error is
// os.ErrDeadlineExceeded.
func Waiting(listener *os.File) (Caller, error) { return accept(listener, false) }

// Await waits until the other end of a connection has sent something or hung up, and
// takes nothing from it. It is false if nothing will come before the deadline.
func Await(c *os.File) bool { return await(c, true) }

// Arrived is Await for what is there already.
func Arrived(c *os.File) bool { return await(c, false) }

// Quiet reports whether the other end has neither sent anything nor hung up.
func Quiet(c *os.File) bool { return quiet(c) }

// Dial calls whoever listens at path. A connection of a process that does many things
// at once must not block a thread, so that is asked for; else it is a blocking one.
func Dial(path string, many bool) (*os.File, error) { return dial(path, many) }

// Pair returns the two ends of a connection that has no name. Ours must not block a
// thread; theirs is for a program that is started, and blocks.
func Pair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		syscall.Close(fds[0])
		syscall.Close(fds[1])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), "connection"), os.NewFile(uintptr(fds[1]), "connection of a program"), nil
}
