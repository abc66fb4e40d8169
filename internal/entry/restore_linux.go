package entry

import "runtime"

// Punctual gives the calling goroutine's thread the timer slack and the policy that the
// process was started with, for a program that it starts, until the function that it
// returns is called.
func Punctual() (over func()) {
	if slack == 0 && !batched {
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
	if slack != 0 {
		setSlack(slack)
	}
	if batched {
		setPolicy(other)
	}
	return func() {
		if slack != 0 {
			setSlack(late)
		}
		if batched {
			setPolicy(batch)
		}
	}
}
