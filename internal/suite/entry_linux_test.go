package suite

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The suite's own threads may be woken late and interrupt nobody; programs that they run for
// users are woken as if whoever has started the suite had run them.
func TestWakingOfOthers(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 70_000, 0, 0, 0)
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)
	s := install(t)
	s.joe(".qmail", "|cat /proc/self/timerslack_ns /proc/self/stat >ran\n|except sh -c 'cat /proc/self/timerslack_ns /proc/self/stat >became; exit 1'\n./Maildir/\n", 0o644)
	s.start()
	s.inject("x@"+me, "joe@"+me, "Subject: timers\n\n")
	s.settled(1)
	for _, file := range []string{"ran", "became"} {
		slack, stat, _ := strings.Cut(s.contents(s.path("u/joe/"+file)), "\n")
		if slack != "70000" || policy(t, stat) != "0" {
			t.Errorf("%s: a user's program has a timer slack of %q ns and policy %s, want 70000 and 0", file, slack, policy(t, stat))
		}
	}
	root := asRoot(t, "nobody else may ask for the timer slack of others")
	seen := map[string]bool{}
	for pid, name := range running() {
		seen[name] = true
		threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, thread := range threads {
			slack, err := os.ReadFile("/proc/" + thread.Name() + "/timerslack_ns")
			stat, err2 := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, thread.Name()))
			if gone(err) || gone(err2) {
				continue // it has ended
			}
			if root && (err != nil || string(slack) != "2000000\n") {
				t.Errorf("a thread of %s has a timer slack of %q ns, %v, want 2 ms", name, slack, err)
			}
			if err2 != nil || policy(t, string(stat)) != "3" {
				t.Errorf("a thread of %s has policy %s, %v, want 3, SCHED_BATCH", name, policy(t, string(stat)), err2)
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

// policy returns that of the thread whose /proc/PID/stat is given, see proc_pid_stat(5).
func policy(t *testing.T, stat string) string {
	t.Helper()
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 39 {
		t.Fatalf("%q is too short", stat)
	}
	return fields[38]
}

// gone reports whether an error is about a thread that has ended.
func gone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) }
