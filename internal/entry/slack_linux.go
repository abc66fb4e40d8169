package entry

import "golang.org/x/sys/unix"

// late is the timer slack, in nanoseconds, that the entry code gives to all threads: how
// much later than asked for the kernel may wake them. The runtime's monitor thread would
// look after the others every 20 microseconds. See PR_SET_TIMERSLACK in prctl(2).
const late = 2_000_000

// slack is what it was before, or 0 if the entry code did not run. It is written before the
// runtime starts.
var slack uint64

// setSlack changes the slack of this thread. That cannot fail.
func setSlack(ns uint64) { unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(ns), 0) }
