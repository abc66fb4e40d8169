//go:build amd64 || arm64

package sigpipe

import (
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// action is the kernel's struct sigaction: the handler first, and the rest as the
// library has set it, with the stack for handlers and the way back from them.
type action [4]uintptr

// signalSetSize is that of the kernel's set of signals, in bytes.
const signalSetSize = 8

// nothing returns the address of a handler that does nothing.
func nothing() uintptr

func quietly() bool {
	var a action
	if !exchange(nil, &a) {
		return false
	}
	signal.Ignore(syscall.SIGPIPE)
	a[0] = nothing()
	return exchange(&a, nil)
}

// exchange sets the action for the signal, if one is given, and gets the one before.
func exchange(set, old *action) bool {
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(syscall.SIGPIPE),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), signalSetSize, 0, 0)
	return errno == 0
}
