package suite

import (
	"fmt"
	"os"
	"testing"
)

// Programs of ours that stay may be woken late, and are; users' programs that they run
// are woken as if a login shell had run them.
func TestTimersOfOthers(t *testing.T) {
	s := install(t)
	s.joe(".qmail", "|cat /proc/self/timerslack_ns >slack\n./Maildir/\n", 0o644)
	usual, err := os.ReadFile("/proc/self/timerslack_ns")
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	s.inject("x@"+me, "joe@"+me, "Subject: timers\n\n")
	s.settled(1)
	if got := s.contents(s.path("u/joe/slack")); got != string(usual) {
		t.Errorf("a user's program has a timer slack of %q, want %q", got, usual)
	}
	if !root { // who may not ask for others'
		return
	}
	seen := map[string]bool{}
	for pid, name := range running() {
		seen[name] = true
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", pid))
		if err != nil || string(b) != "2000000\n" {
			t.Errorf("%s has a timer slack of %q ns, %v, want 2 ms", name, b, err)
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
