package remote

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quail/internal/conf"
)

// one delivers to one recipient.
func one(t testing.TB, r *Remote, to string) string {
	t.Helper()
	return deliver(t, r, "hi\n", errand{"x.test", "a@b", to})[0]
}

// Messages one after another go by one session, and nothing but mail is said there.
func TestReuse(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, nil)
	for i := range 3 {
		if report := one(t, r, fmt.Sprintf("r%d@c", i)); report != fine {
			t.Errorf("message %d: %q", i, report)
		}
	}
	want := "|EHLO me.test" + strings.Repeat("|MAIL FROM:<a@b>|RCPT TO:<r%d@c>|DATA|.", 3)
	if got := s.said(0); got != fmt.Sprintf(want, 0, 1, 2) || s.sessions() != 1 {
		t.Errorf("%d sessions, the first one %s", s.sessions(), got)
	}
	r.Keep.pool.end()
	for range 1000 {
		if strings.HasSuffix(s.said(0), "|QUIT") {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("no QUIT: %s", s.said(0))
}

// A session has its bounds.
func TestReuseBounds(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, nil)
	p, _ := job(t, "hi\n")
	for range maxUsed + 1 {
		if report := perform(t, r, p.Stdin.Name(), 1, errand{"x.test", "a@b", "c@d"}); report != fine {
			t.Errorf("reports %q", report)
		}
	}
	if s.sessions() != 2 || !strings.HasSuffix(s.said(0), "|.|QUIT") {
		t.Errorf("%d messages by %d sessions, want 2", maxUsed+1, s.sessions())
	}
	// Those that are idle are bounded, too, for one host and in time.
	now := time.Now()
	for _, age := range []time.Duration{0, maxAge} {
		session := &session{begun: now.Add(-age)}
		if session.reusable(now) != (age == 0) {
			t.Errorf("a session of %v: reusable is %v", age, session.reusable(now))
		}
	}
}

func TestIdleBounds(t *testing.T) {
	list := crowd(maxIdleHost + 5)
	var needed atomic.Int32
	all := make(chan struct{}) // are needed at once
	s := (&sink{answer: func(_ *caller, command string) string {
		if command == "DATA" {
			if needed.Add(1) == int32(len(list)) {
				close(all)
			}
			select {
			case <-all:
			case <-time.After(20 * time.Second): // then there are too few, which is told below
			}
		}
		return ""
	}}).start(t)
	r := s.keeping(t, nil)
	for i := range list {
		list[i].sender = fmt.Sprint(i)
	}
	deliver(t, r, "hi\n", list...)
	if s.most != len(list) {
		t.Errorf("%d sessions at once, want %d", s.most, len(list))
	}
	r.Keep.pool.mu.Lock()
	defer r.Keep.pool.mu.Unlock()
	if n := r.Keep.pool.idle; n != maxIdleHost {
		t.Errorf("%d idle sessions, want %d", n, maxIdleHost)
	}
}

// What a server refuses leaves the session in a state that the next message is told
// of, or ends it.
func TestReuseAfterRefusal(t *testing.T) {
	for _, c := range []struct{ at, answer, want string }{
		{"RCPT TO:<bad@", "550 no\r\n", "|EHLO me.test|MAIL FROM:<a@b>|RCPT TO:<bad@c>|RSET|MAIL FROM:<a@b>|RCPT TO:<good@c>|DATA|."},
		{"RCPT TO:<bad@", "421 no\r\n", "|EHLO me.test|MAIL FROM:<a@b>|RCPT TO:<bad@c>|QUIT"},
		{"MAIL", "450 no\r\n", "|EHLO me.test|MAIL FROM:<a@b>|RCPT TO:<bad@c>|QUIT"},
		{"DATA", "450 no\r\n", "|EHLO me.test|MAIL FROM:<a@b>|RCPT TO:<bad@c>|DATA|QUIT"},
		{".", "550 no\r\n", "|EHLO me.test|MAIL FROM:<a@b>|RCPT TO:<bad@c>|DATA|.|MAIL FROM:<a@b>|RCPT TO:<good@c>|DATA|."},
		{".", "421 no\r\n", "|EHLO me.test|MAIL FROM:<a@b>|RCPT TO:<bad@c>|DATA|.|QUIT"},
	} {
		for _, plain := range []bool{false, true} {
			var refusals atomic.Int32
			s := &sink{plain: plain, answer: func(_ *caller, command string) string {
				if strings.HasPrefix(command, c.at) && refusals.Add(1) == 1 {
					return c.answer
				}
				return ""
			}}
			r := s.start(t).keeping(t, nil)
			one(t, r, "bad@c")
			if report := one(t, r, "good@c"); report != fine {
				t.Errorf("after %q to %s: %q", c.answer, c.at, report)
			}
			want := c.want
			if plain && c.at == "MAIL" {
				want = strings.Replace(want, "|RCPT TO:<bad@c>", "", 1)
			}
			if got := s.said(0); got != want {
				t.Errorf("after %q to %s, plain %v: %s, want %s", c.answer, c.at, plain, got, want)
			}
		}
	}
}

// A session that has ended while nobody used it, or ends when somebody does, costs a
// new connection, once, and not the mail. When the server has taken notice of the mail
// that is no more so.
func TestStaleSession(t *testing.T) {
	for _, c := range []struct {
		name, at, answer string
		count            int // of commands like at before this one
		want             string
		sessions         int
	}{
		{"ends after the text", ".", "250 ok\r\n" + end, 1, fine, 2},
		{"says 421 unasked", ".", "250 ok\r\n421 bye\r\n", 1, fine, 2},
		{"ends at MAIL", "MAIL", end, 2, fine, 2},
		{"says 421 to MAIL", "MAIL", "421 bye\r\n", 2, fine, 2},
		{"refuses MAIL", "MAIL", "450 no\r\n", 2, "Z" + noSender + said + "450 no\n\x00", 1},
		{"says 421 to RCPT", "RCPT", "421 bye\r\n" + end, 2, "s" + dislikes + said + "421 bye\n\x00" + givesUp, 1},
		{"ends at RCPT", "RCPT", end, 2, died, 1},
		{"ends at DATA", "DATA", end, 2, "r\x00" + died, 1},
		{"ends at the dot", ".", end, 2, "r\x00" + dup, 1},
		{"says 421 to the dot", ".", "421 bye\r\n" + end, 2, "r\x00Z" + noText + said + "421 bye\n\x00", 1},
	} {
		var seen atomic.Int32
		s := &sink{answer: func(_ *caller, command string) string {
			if strings.HasPrefix(command, c.at) && int(seen.Add(1)) == c.count {
				return c.answer
			}
			return ""
		}}
		r := s.start(t).keeping(t, nil)
		if report := one(t, r, "first@c"); report != fine {
			t.Errorf("%s: the first message: %q", c.name, report)
		}
		if report := one(t, r, "second@c"); report != c.want || s.sessions() != c.sessions {
			t.Errorf("%s: %q by %d sessions, want %q by %d", c.name, report, s.sessions(), c.want, c.sessions)
		}
	}
}

// A new connection that says 421 at once is not tried again and again.
func TestStaleOnce(t *testing.T) {
	var seen atomic.Int32
	s := &sink{answer: func(_ *caller, command string) string {
		if strings.HasPrefix(command, "MAIL") && seen.Add(1) > 1 {
			return "421 bye\r\n" + end
		}
		return ""
	}}
	r := s.start(t).keeping(t, nil)
	one(t, r, "first@c")
	if got, want := one(t, r, "second@c"), "Z"+noSender+said+"421 bye\n\x00"; got != want || s.sessions() != 2 {
		t.Errorf("reports %q by %d sessions, want %q by 2", got, s.sessions(), want)
	}
}

// The right to open a session comes back whatever happens.
func TestRightsComeBack(t *testing.T) {
	s := &sink{answer: func(_ *caller, command string) string {
		if command == "" {
			return "554 go away\r\n" + end
		}
		return ""
	}}
	r := s.start(t).keeping(t, map[string]string{"remotelimits": "127.0.0.1:1\n"})
	for range 5 {
		if got, want := one(t, r, "c@d"), noGreeting+said+"554 go away\n\x00"; got != want {
			t.Errorf("reports %q, want %q", got, want)
		}
	}
	if n := len(r.Keep.pool.hosts); n != 0 {
		t.Errorf("%d hosts are remembered", n)
	}
}

// Where only so many sessions are allowed, groups wait for one, and the beginning of
// the next message goes out with the end of the one before it.
func TestLimitedSessions(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, map[string]string{"remotelimits": "127.0.0.1:2\n"})
	list := crowd(40)
	for i := range list {
		list[i].sender = fmt.Sprintf("s%d@b", i)
	}
	for i, report := range deliver(t, r, "hi\n", list...) {
		if report != fine {
			t.Errorf("message %d: %q", i, report)
		}
	}
	for _, d := range s.delivered() {
		if len(d.to) != 1 || d.sender[2:len(d.sender)-3] != d.to[0][1:len(d.to[0])-len("@x.test")] {
			t.Errorf("from %s to %s", d.sender, d.to)
		}
	}
	if s.most > 2 || len(s.delivered()) != 40 || s.early < 10 {
		t.Errorf("%d sessions at once, %d messages, %d of them ahead; want 2, 40, most", s.most, len(s.delivered()), s.early)
	}
}

// A message whose beginning was sent ahead to a server that then ends the session goes
// by another one; whether its own predecessor went well is not its business.
func TestAheadOfTheEnd(t *testing.T) {
	for _, c := range []struct{ answer, want string }{
		{"250 ok\r\n" + end, fine},
		{"550 no\r\n" + end, "r\x00D" + noText + said + "550 no\n\x00"},
		{"421 bye\r\n", "r\x00Z" + noText + said + "421 bye\n\x00"},
		{end, "r\x00" + dup},
	} {
		s := &sink{answer: func(_ *caller, command string) string {
			if command == "." {
				return c.answer
			}
			return ""
		}}
		r := s.start(t).keeping(t, map[string]string{"remotelimits": "127.0.0.1:1\n"})
		list := crowd(6)
		for i := range list {
			list[i].sender = fmt.Sprint(i)
		}
		for i, report := range deliver(t, r, "hi\n", list...) {
			if report != c.want {
				t.Errorf("dot answered %q: message %d: %q, want %q", c.answer, i, report, c.want)
			}
		}
		// How many sessions there were at once the server cannot tell: it may see new
		// ones before the ends of old ones.
		if len(s.delivered()) != 6 || s.early == 0 {
			t.Errorf("dot answered %q: %d messages, %d of them ahead", c.answer, len(s.delivered()), s.early)
		}
	}
}

// Changed control files count from the next job on.
func TestControlsChange(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, nil)
	age(t)
	one(t, r, "c@d")
	if r.Keep.settings.stamp == nil {
		t.Error("what was read is not kept")
	}
	for _, c := range []struct{ name, contents, want string }{
		{"helohost", "other.test\n", fine},
		{"smtproutes", fmt.Sprintf(":127.0.0.1:%d\n", closed(t)), string(noConnection) + "\x00"},
		{"remotelimits", "nonsense\n", string(noControls) + "\x00"},
	} {
		if err := os.WriteFile(conf.Home+"/control/"+c.name, []byte(c.contents), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := one(t, r, "c@d"); got != c.want {
			t.Errorf("after %s changed: %q, want %q", c.name, got, c.want)
		}
	}
	if got := s.said(1); !strings.HasPrefix(got, "|EHLO other.test|") {
		t.Errorf("the session after helohost changed: %s", got)
	}
}
