package proc

import (
	"runtime"
	"strconv"
	"testing"
)

// A program that stays may be woken late, and what it starts for others is not.
func TestSlack(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func(f func() int) { own = f; setSlack(f()) }(own)
	for _, c := range []struct {
		ours     int
		resident bool
		want     int
	}{
		{usual, false, usual}, {usual, true, calm}, {calm, false, usual}, {calm, true, calm}, {70_000, false, 70_000}, {70_000, true, calm},
	} {
		own = func() int { return c.ours }
		setSlack(c.ours)
		show := Command{Args: []string{"/bin/cat", "/proc/self/timerslack_ns"}, Dir: "/", Resident: c.resident}
		if got := output(t, show); got != strconv.Itoa(c.want)+"\n" {
			t.Errorf("of a process with a slack of %d ns, resident %v: %q ns, want %d", c.ours, c.resident, got, c.want)
		}
	}
}
