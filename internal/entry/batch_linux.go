package entry

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Policies of sched(7).
const (
	other = 0
	batch = 3
)

// batched says that Batch has changed the policy. It is called before anything is started.
var batched bool

// priority is the only one that those policies have.
var priority int32

// Batch tells the kernel that this process has work to do rather than somebody waiting for
// its next step: woken, it does not interrupt what runs at that moment, but has its turn
// after that as ever. See SCHED_BATCH in sched(7). A policy that somebody has chosen stays.
func Batch() {
	if now, _, errno := unix.RawSyscall(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0); errno != 0 || now != other {
		return
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, batch, uintptr(unsafe.Pointer(&priority)))
	batched = errno == 0
}

// setPolicy changes the policy of this thread. Between these two that cannot fail.
func setPolicy(policy uintptr) {
	unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, policy, uintptr(unsafe.Pointer(&priority)))
}
