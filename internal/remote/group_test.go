package remote

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quail/internal/localaddr"
	"quail/internal/prog"
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

// A sender that is made for one recipient is nobody else's.
func TestSendersAreNotShared(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, nil)
	list := crowd(10)
	for i := range list {
		list[i].sender = fmt.Sprintf("list-r%d=x.test@b", i)
	}
	deliver(t, r, "hi\n", list...)
	for _, d := range s.delivered() {
		if len(d.to) != 1 || d.sender != "<list-"+strings.ReplaceAll(d.to[0], "@", "=")+"@b>" {
			t.Errorf("from %s to %s", d.sender, d.to)
		}
	}
	if n := len(s.delivered()); n != 10 {
		t.Errorf("%d transactions, want 10", n)
	}
}

// Nor is another message's transaction, whatever else is the same, nor that of
// another host.
func TestMessagesAreNotShared(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, map[string]string{"smtproutes": fmt.Sprintf("x.test:127.0.0.1:%d\ny.test:localhost.:%d\n", s.port, s.port)})
	first, _ := job(t, "first\n")
	second, _ := job(t, "second\n")
	reports := make(chan string)
	for _, file := range []string{first.Stdin.Name(), second.Stdin.Name()} {
		go func() { reports <- perform(t, r, file, 1, crowd(1)[0]) }()
	}
	for range 2 {
		if report := <-reports; report != fine {
			t.Errorf("reports %q", report)
		}
	}
	if n := len(s.delivered()); n != 2 {
		t.Errorf("%d transactions, want 2", n)
	}
}

// At most a hundred recipients share a transaction.
func TestHundred(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, nil)
	for i, report := range deliver(t, r, "hi\n", crowd(250)...) {
		if report != fine {
			t.Errorf("recipient %d: %q", i, report)
		}
	}
	n := 0
	for _, d := range s.delivered() {
		if n += len(d.to); len(d.to) > maxShared {
			t.Errorf("a transaction of %d recipients", len(d.to))
		}
	}
	if n != 250 {
		t.Errorf("%d recipients in all, want 250", n)
	}
}

// A message with a thousand recipients, of which twenty are handed out at a time.
func TestThousand(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, nil)
	p, _ := job(t, "hi\n")
	next := make(chan errand)
	go func() {
		for _, e := range crowd(1000) {
			next <- e
		}
		close(next)
	}()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for e := range next {
				if report := perform(t, r, p.Stdin.Name(), 1, e); report != fine {
					t.Errorf("%s: %q", e.recipient, report)
				}
			}
		})
	}
	all.Wait()
	// Sixty is what is wanted of the whole suite; a test that shares its processor with
	// others is given more room.
	if n := len(s.delivered()); n > 120 {
		t.Errorf("%d transactions", n)
	}
}

// A server that takes only so many recipients a transaction gets the others in the
// next one of the same session. Who is refused alone is refused.
func TestTooManyRecipients(t *testing.T) {
	for _, plain := range []bool{false, true} {
		s := &sink{plain: plain, answer: func(c *caller, command string) string {
			if strings.HasPrefix(command, "RCPT TO:<r3@") {
				return "452 mailbox full\r\n"
			}
			if strings.HasPrefix(command, "RCPT") && len(c.to) >= 4 {
				return "452 too many\r\n"
			}
			return ""
		}}
		r := s.start(t).keeping(t, nil)
		for i, report := range deliver(t, r, "hi\n", crowd(12)...) {
			want := fine
			if i == 3 {
				want = "s" + dislikes + said + "452 mailbox full\n\x00" + givesUp
			}
			if report != want {
				t.Errorf("plain %v, recipient %d: %q, want %q", plain, i, report, want)
			}
		}
		n := 0
		for _, d := range s.delivered() {
			if n += len(d.to); len(d.to) > 4 {
				t.Errorf("plain %v: %d recipients in a transaction", plain, len(d.to))
			}
		}
		if n != 11 || s.sessions() > 2 {
			t.Errorf("plain %v: %d recipients in %d sessions, want 11 in one or two", plain, n, s.sessions())
		}
	}
}

// What the server says of the message is said to all that it concerns; what it says
// of a recipient before that stays with this one.
func TestSharedVerdicts(t *testing.T) {
	const refused = "550 no r1\r\n"
	for _, c := range []struct{ at, answer, want string }{
		{"MAIL", "450 not now\r\n", "Z" + noSender + said + "450 not now\n\x00"},
		{"MAIL", "550 never\r\n", "D" + noSender + said + "550 never\n\x00"},
		{"MAIL", end, died},
		{"DATA", "554 no\r\n", "r\x00D" + noData + said + "554 no\n\x00"},
		{"DATA", end, "r\x00" + died},
		{".", "554 spam\r\n", "r\x00D" + noText + said + "554 spam\n\x00"},
		{".", "421 bye\r\n" + end, "r\x00Z" + noText + said + "421 bye\n\x00"},
		{".", end, "r\x00" + dup},
	} {
		s := &sink{answer: func(_ *caller, command string) string {
			if strings.HasPrefix(command, "RCPT TO:<r1@") {
				return refused
			}
			if strings.HasPrefix(command, c.at) {
				return c.answer
			}
			return ""
		}}
		r := s.start(t).keeping(t, nil)
		for i, report := range deliver(t, r, "hi\n", crowd(3)...) {
			want := c.want
			if i == 1 && c.at != "MAIL" {
				want = "h" + dislikes + said + "550 no r1\n\x00" + givesUp
			}
			if report != want {
				t.Errorf("%s answered %q: recipient %d: %q, want %q", c.at, c.answer, i, report, want)
			}
		}
	}
}

// A leader that fails takes nobody's job with it: all end, temporarily.
func TestLeaderFails(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, map[string]string{"smtproutes": ""})
	r.Local = func() (localaddr.Set, error) {
		time.Sleep(20 * time.Millisecond) // for the others to come
		panic("on purpose")
	}
	p, _ := job(t, "hi\n")
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			stdin, err := os.Open(p.Stdin.Name())
			if err != nil {
				t.Error(err)
				return
			}
			defer stdin.Close()
			q := *p
			q.Args, q.Stdin = []string{"127.0.0.1", "a@b", fmt.Sprintf("r%d@c", i)}, stdin
			q.Stderr = p.Stdout
			if status := q.Do(r.Deliver); status != prog.StatusTemporary {
				t.Errorf("status %d, want %d", status, prog.StatusTemporary)
			}
		})
	}
	all.Wait()
	if n := len(r.Keep.pool.hosts) + len(r.Keep.gathering.lanes); n > 1 {
		t.Errorf("%d hosts and messages are remembered", n)
	}
}

// One host that keeps silent does not hold the mail for another.
func TestSlowHost(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, map[string]string{
		"smtproutes":     fmt.Sprintf("slow.test:127.0.0.1:%d\n:127.0.0.1:%d\n", silent(t), s.port),
		"timeoutconnect": "3\n",
	})
	p, _ := job(t, "hi\n")
	slow := make(chan string)
	go func() { slow <- perform(t, r, p.Stdin.Name(), 1, errand{"slow.test", "a@b", "c@d"}) }()
	for _, e := range crowd(20) {
		if report := perform(t, r, p.Stdin.Name(), 2, e); report != fine {
			t.Errorf("reports %q", report)
		}
	}
	select {
	case report := <-slow:
		t.Errorf("the silent host was given up before the others were done: %q", report)
	default:
	}
	if report, want := <-slow, string(noConnection)+"\x00"; report != want {
		t.Errorf("reports %q, want %q", report, want)
	}
}
