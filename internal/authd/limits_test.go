package authd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quail/internal/control"
)

// counting returns a count by limits in a file of its own, on a clock that the test sets.
func counting(t *testing.T, lines string) (s *spending, write func(string), clock *time.Time) {
	t.Helper()
	dir := t.TempDir()
	write = func(lines string) {
		t.Helper()
		name := filepath.Join(dir, limitsFile)
		if err := os.WriteFile(name+"new", []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+"new", name); err != nil {
			t.Fatal(err)
		}
	}
	if lines != "" {
		write(lines)
	}
	now := time.Date(2001, 1, 1, 10, 0, 30, 0, time.UTC)
	return newSpending(func() time.Time { return now }, control.Dir(dir)), write, &now
}

func TestSpend(t *testing.T) {
	s, _, clock := counting(t, "*:3:10\nJoe@x:1\nbig::\n[192.0.2.0/24]::4\n[192.0.2.9]:100:100\n[2001:db8::/32]:2:\n[::ffff:203.0.113.0/120]:1\n")
	began := *clock
	for _, c := range []struct {
		after     time.Duration // since the beginning
		login, ip string
		n         limit
		want      string
	}{
		{0, "sue", "", limit{1, 1}, ""},
		{10 * time.Minute, "sue", "", limit{1, 1}, ""},
		{20 * time.Minute, "SUE", "", limit{1, 8}, ""},
		{20 * time.Minute, "sue", "", limit{1, 1}, "limit of messages an hour for sue is 3; there is room again from 11:01 UTC"},
		{20 * time.Minute, "sue", "", limit{0, 1}, "limit of recipients an hour for sue is 10; there is room again from 11:01 UTC"},
		{20 * time.Minute, "sue", "", limit{0, 3}, "limit of recipients an hour for sue is 10; there is room again from 11:21 UTC"},
		{20 * time.Minute, "sue", "", limit{0, 11}, "limit of recipients an hour for sue is 10, and this is more"},
		{60*time.Minute + 29*time.Second, "sue", "", limit{1, 1}, "limit of messages an hour for sue is 3; there is room again from 11:01 UTC"},
		{60*time.Minute + 30*time.Second, "sue", "", limit{1, 1}, ""}, // what was refused did not count
		{20 * time.Minute, "joe@X", "", limit{1, 500}, ""},
		{20 * time.Minute, "joe@x", "", limit{1, 1}, "limit of messages an hour for joe@x is 1; there is room again from 11:21 UTC"},
		{20 * time.Minute, "big", "", limit{1000, 100000}, ""},
		{0, "big", "192.0.2.1", limit{9, 4}, ""},
		{0, "big", "::ffff:192.0.2.1", limit{1, 1}, "limit of recipients an hour for 192.0.2.1 is 4; there is room again from 11:01 UTC"},
		{0, "big", "192.0.2.2", limit{1, 1}, ""},
		{0, "big", "192.0.2.9", limit{100, 100}, ""},
		{0, "", "2001:db8::1", limit{2, 9}, ""},
		{0, "", "2001:db8::2", limit{1, 1}, "limit of messages an hour for 2001:db8::/64 is 2; there is room again from 11:01 UTC"},
		{0, "", "2001:db8:0:1::2", limit{1, 1}, ""},
		{0, "", "198.51.100.1", limit{1000, 1000}, ""},
		{0, "", "203.0.113.1", limit{1, 1}, ""},
		{0, "", "203.0.113.1", limit{1, 1}, "limit of messages an hour for 203.0.113.1 is 1; there is room again from 11:01 UTC"},
	} {
		*clock = began.Add(c.after)
		if got, err := s.spend(c.login, c.ip, c.n); got != c.want || err != nil {
			t.Errorf("after %v %q at %q may submit %v: %q, %v, want %q", c.after, c.login, c.ip, c.n, got, err, c.want)
		}
	}
	*clock = began.Add(10000 * time.Hour)
	if got, err := s.spend("sue", "", limit{3, 10}); got != "" || err != nil {
		t.Errorf("after a long time: %q, %v", got, err)
	}
	// A clock that was wrong once must not keep anybody from sending until it would be right.
	*clock = began
	for _, want := range []string{"", "limit of messages an hour for sue is 3; there is room again from 11:01 UTC"} {
		if got, err := s.spend("sue", "", limit{3, 3}); got != want || err != nil {
			t.Errorf("with the clock set right: %q, %v, want %q", got, err, want)
		}
	}
}

// What one limit refuses does not count against another.
func TestBothOrNone(t *testing.T) {
	s, _, _ := counting(t, "*:2\n[0.0.0.0/0]:1\n")
	for i, want := range []string{"", "limit of messages an hour for 192.0.2.1 is 1; there is room again from 11:01 UTC"} {
		if got, err := s.spend("joe", "192.0.2.1", limit{1, 1}); got != want || err != nil {
			t.Errorf("%d: %q, %v", i, got, err)
		}
	}
	if got, err := s.spend("joe", "192.0.2.2", limit{1, 1}); got != "" || err != nil {
		t.Errorf("elsewhere: %q, %v", got, err)
	}
}

func TestFile(t *testing.T) {
	s, write, _ := counting(t, "")
	may := func(want string) {
		t.Helper()
		got, err := s.spend("joe", "192.0.2.1", limit{1, 1})
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%q, want %q", got, want)
		}
	}
	may("")
	may("")
	write("# nothing\n\njoe:2\n")
	may("")
	may("")
	may("limit of messages an hour for joe is 2;")
	write("joe:3\n")
	may("")
	may("limit of messages an hour for joe is 3;")
	for _, bad := range []string{"joe", ":1", "joe:x", "joe:0", "joe:-1", "joe:1:2:3", "joe:1000001", "[192.0.2.1:5", "[192.0.2.1]5", "[x]:5", "[192.0.2.1/33]:5", "[]:5"} {
		write("joe:100\n" + bad + "\n")
		may("malformed line in control/submissionlimits: " + bad)
		may("malformed line in control/submissionlimits: " + bad) // not read again
	}
	write("joe:100\n")
	may("")
}

// No login and no address makes what is counted more than it is, and no wait is longer
// than an hour.
func FuzzSpend(f *testing.F) {
	f.Add("*:3:10\n[192.0.2.0/24]:1", "joe", "192.0.2.1", 1, 2)
	f.Fuzz(func(t *testing.T, file, login, ip string, messages, recipients int) {
		l, err := parseLimits(strings.Split(file, "\n"))
		if err != nil {
			return
		}
		for _, one := range []limit{l.ofLogin(login), l.ofAddress(ip)} {
			if one.messages < 0 || one.messages > mostLimit || one.recipients < 0 || one.recipients > mostLimit {
				t.Fatalf("%q has a limit of %v", file, one)
			}
			u := usage{last: 1000}
			u.advance(1007)
			u.minutes[1007%window] = limit{messages & 0xffff, recipients & 0xffff}
			if wait := u.room(1, one.messages, func(l limit) int { return l.messages }); wait < 0 || wait > window {
				t.Errorf("%q: a wait of %d minutes", file, wait)
			}
		}
	})
}
