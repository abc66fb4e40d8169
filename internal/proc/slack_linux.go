package proc

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// Timer slacks, in nanoseconds: how much later than asked for the kernel may wake a
// thread. See PR_SET_TIMERSLACK in prctl(2).
const (
	usual = 50_000    // what a process has, unless somebody chose another
	calm  = 2_000_000 // of a program that stays
)

// own is this process's slack.
var own = sync.OnceValue(func() int {
	n, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return usual
	}
	return n
})

// slackened runs start in a thread with the slack that a child is to inherit. From a
// program that stays its own goes to no other.
func slackened(resident bool, start func() error) error {
	want := own()
	switch {
	case resident:
		want = calm
	case want == calm:
		want = usual
	}
	if want != own() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		setSlack(want)
		defer setSlack(own())
	}
	return start()
}

// Settle gives this thread the slack of a program that stays, for one that it becomes.
func Settle() {
	runtime.LockOSThread()
	setSlack(calm)
}

// setSlack changes the slack of this thread. Where that fails, and nothing says that it
// could, the program wakes as often as ever.
func setSlack(ns int) { unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(ns), 0, 0, 0) }
