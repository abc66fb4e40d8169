package entry

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// late is the timer slack, in nanoseconds, that the entry code gives to all threads: how
// much later than asked for the kernel may wake them. The runtime's monitor thread would
// look after the others every 20 microseconds. See PR_SET_TIMERSLACK in prctl(2).
const late = 2_000_000

// slack is what it was before, or 0 if the entry code did not run. It is written before the
// runtime starts.
var slack uint64

// Punctual gives the calling goroutine's thread the slack that the process was started
// with, for a program that it starts, until the function that it returns is called.
func Punctual() (over func()) {
	if slack == 0 {
		return func() {}
	}
	runtime.LockOSThread()
	end := Becoming()
	return func() {
		end()
		runtime.UnlockOSThread()
	}
}

// Becoming is Punctual for a program that this one becomes. It does not lock the thread,
// which would take another one: nothing waits between this and exec.
func Becoming() (over func()) {
	if slack == 0 {
		return func() {}
	}
	setSlack(slack)
	return func() { setSlack(late) }
}

// setSlack changes the slack of this thread. That cannot fail.
func setSlack(ns uint64) { unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(ns), 0) }
