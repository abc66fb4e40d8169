package remote

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// crowd is errands for n recipients of one message.
func crowd(n int) (list []errand) {
	for i := range n {
		list = append(list, errand{"x.test", "a@b", fmt.Sprintf("r%d@x.test", i)})
	}
	return list
}

const fine = "r\x00" + ok + said + "250 ok\n\x00"

// The recipients of one message share transactions, and each has a report of its own.
func TestShared(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, nil)
	for i, report := range deliver(t, r, "hi\n", crowd(30)...) {
		if report != fine {
			t.Errorf("recipient %d: %q, want %q", i, report, fine)
		}
	}
	var got []string
	for _, d := range s.delivered() {
		got = append(got, d.to...)
		if d.sender != "<a@b>" || d.text != "hi\r\n.\r\n" {
			t.Errorf("from %s: %q", d.sender, d.text)
		}
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 30 || len(s.delivered()) > 3 {
		t.Errorf("%d recipients in %d transactions, want 30 in at most 3", len(got), len(s.delivered()))
	}
}

// One recipient's refusal is that recipient's alone.
func TestSharedRefusal(t *testing.T) {
	s := &sink{answer: func(c *caller, command string) string {
		switch {
		case strings.HasPrefix(command, "RCPT TO:<r1@"):
			return "550 no r1\r\n"
		case strings.HasPrefix(command, "RCPT TO:<r2@"):
			return "450 not now, r2\r\n"
		}
		return ""
	}}
	r := s.start(t).keeping(t, nil)
	reports := deliver(t, r, "hi\n", crowd(10)...)
	for i, report := range reports {
		want := fine
		switch i {
		case 1:
			want = "h" + dislikes + said + "550 no r1\n\x00" + givesUp
		case 2:
			want = "s" + dislikes + said + "450 not now, r2\n\x00" + givesUp
		}
		if report != want {
			t.Errorf("recipient %d: %q, want %q", i, report, want)
		}
	}
}
