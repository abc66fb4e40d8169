package suite

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// The suite's own threads may be woken late, and are; programs that they run for users are
// woken as if whoever has started the suite had run them.
func TestTimersOfOthers(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 70_000, 0, 0, 0)
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)
	s := install(t)
	s.joe(".qmail", "|cat /proc/self/timerslack_ns >slack\n|except sh -c 'cat /proc/self/timerslack_ns >became; exit 1'\n./Maildir/\n", 0o644)
	s.start()
	s.inject("x@"+me, "joe@"+me, "Subject: timers\n\n")
	s.settled(1)
	for _, file := range []string{"slack", "became"} {
		if got := s.contents(s.path("u/joe/" + file)); got != "70000\n" {
			t.Errorf("a user's program has a timer slack of %q ns (%s), want 70000", got, file)
		}
	}
	if !asRoot(t, "nobody else may ask for the timer slack of others") {
		return
	}
	seen := map[string]bool{}
	for pid, name := range running() {
		seen[name] = true
		threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, thread := range threads {
			b, err := os.ReadFile("/proc/" + thread.Name() + "/timerslack_ns")
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
				continue // it has ended
			}
			if err != nil || string(b) != "2000000\n" {
				t.Errorf("a thread of %s has a timer slack of %q ns, %v, want 2 ms", name, b, err)
			}
		}
	}
	want := []string{"qmail-send", "qmail-lspawn", "qmail-rspawn", "qmail-clean"}
	if !*cold {
		want = append(want, "qmail-queued", "qmail-local")
	}
	for _, name := range want {
		if !seen[name] {
			t.Errorf("%s does not run", name)
		}
	}
}
