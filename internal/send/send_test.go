package send

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"quail/internal/control"
	"quail/internal/queue"
)

// controls makes a control directory.
func controls(t *testing.T, files map[string]string) control.Dir {
	t.Helper()
	d := t.TempDir()
	for name, contents := range files {
		if err := os.WriteFile(filepath.Join(d, name), []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return control.Dir(d)
}

func mustRead(t *testing.T, files map[string]string) settings {
	t.Helper()
	s, err := readSettings(controls(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParagraph(t *testing.T) {
	for _, c := range []struct{ recipient, report, want string }{
		{"a@b", "no such user\n", "<a@b>:\nno such user\n\n"},
		{"a@b", "no line feed", "<a@b>:\nno line feed\n\n"},
		{"a\n@b", "", "<a_@b>:\n\n"},
		{"a", "line1\n\n\nline2\n\n", "<a>:\nline1\n//line2\n\n\n"},
		{"a", "\n", "<a>:\n\n\n"},
		{"a", "\n\nx", "<a>:\n//x\n\n"}, // nor may it begin with a blank line
		{"a", "\nx\n", "<a>:\n/x\n\n"},
		{"a", "\n\n", "<a>:\n/\n\n"},
	} {
		if got := paragraph(c.recipient, c.report); got != c.want {
			t.Errorf("paragraph(%q, %q) = %q, want %q", c.recipient, c.report, got, c.want)
		}
	}
}

func TestBounceText(t *testing.T) {
	s := mustRead(t, map[string]string{"me": "me.example\n", "bouncefrom": "mail er\n", "doublebouncehost": "db.example\n"})
	b, ok := s.newBounce("a b@far.example-@[]", "DATE")
	want := "Date: DATE\nFrom: \"mail er\"@me.example\nTo: \"a b\"@far.example\nSubject: failure notice\n\n" +
		"Hi. This is the qmail-send program at me.example.\n" +
		"I'm afraid I wasn't able to deliver your message to the following addresses.\n" +
		"This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
	if !ok || b.head != want || b.sender != "" || b.recipient != "a b@far.example" {
		t.Errorf("bounce %+v", b)
	}
	if want := "--- Below this line is a copy of the message.\n\nReturn-Path: <\"a b\"@far.example>\n"; b.middle != want {
		t.Errorf("middle %q, want %q", b.middle, want)
	}
	b, ok = s.newBounce("", "DATE")
	if !ok || b.sender != "#@[]" || b.recipient != "postmaster@db.example" ||
		!strings.HasSuffix(b.head, "\nI tried to deliver a bounce message to this address, but the bounce bounced!\n\n") ||
		b.middle != "--- Below this line is the original bounce.\n\nReturn-Path: <>\n" {
		t.Errorf("double bounce %+v", b)
	}
	if _, ok = s.newBounce("#@[]", "DATE"); ok {
		t.Error("a double bounce was answered")
	}
}

func TestNextRetry(t *testing.T) {
	const birth = 1000000
	for _, c := range []struct {
		age  int64
		c    queue.Channel
		want int64
	}{
		{0, queue.Local, 100}, {100, queue.Local, 400}, {400, queue.Local, 900},
		{0, queue.Remote, 400}, {400, queue.Remote, 1600}, {24, queue.Remote, 576},
		{-50, queue.Remote, 400}, // born in the future
		{604799, queue.Remote, 635209},
	} {
		if got := nextRetry(birth, birth+c.age, c.c) - birth; got != c.want {
			t.Errorf("age %d on %v: next at %d, want %d", c.age, c.c, got, c.want)
		}
	}
	for n := int64(0); n < 100000; n += 7 {
		if r := squareRoot(n); r*r > n || (r+1)*(r+1) <= n {
			t.Fatalf("squareRoot(%d) = %d", n, r)
		}
	}
	if r := squareRoot(1 << 62); r != 1<<31 {
		t.Errorf("squareRoot(2^62) = %d", r)
	}
}

func TestScheduleIsOrdered(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s schedule
	var want []int64
	for i := range 1000 {
		due := rng.Int64N(500)
		s.add(entry{due, queue.ID(i)})
		want = append(want, due)
		if i%3 == 0 {
			sort.Slice(want, func(a, b int) bool { return want[a] < want[b] })
			if e, _ := s.min(); e.due != want[0] {
				t.Fatalf("min %d, want %d", e.due, want[0])
			}
			s.removeMin()
			want = want[1:]
		}
	}
	if _, ok := s.takeDue(-1); ok {
		t.Error("took what is not due")
	}
	s.dueNow(-5)
	for range want {
		if _, ok := s.takeDue(-5); !ok {
			t.Fatal("an entry is missing")
		}
	}
	if _, ok := s.min(); ok {
		t.Error("an entry too many")
	}
}

func TestSafe(t *testing.T) {
	if got, want := string(stranger("a b\n%c\x7f\xe9~\x00").appendSafe(nil)), "a_b/_c__~_"; got != want {
		t.Errorf("safe = %q, want %q", got, want)
	}
}

func TestSettings(t *testing.T) {
	s := mustRead(t, map[string]string{"me": "m\n", "concurrencylocal": "0\n", "queuelifetime": "60 seconds\n"})
	if s.concurrency != [2]int{0, 20} || s.lifetime != 60 || s.bounceFrom != "MAILER-DAEMON" || s.doubleBounce != "postmaster@m" {
		t.Errorf("settings %+v", s)
	}
	if !s.routes.Locals.Has("M") || s.routes.EnvNoAtHost != "m" {
		t.Errorf("routes %+v", s.routes)
	}
	if _, err := readSettings(controls(t, nil)); err == nil {
		t.Error("started without control/me and control/locals")
	}
	for _, name := range []string{"me", "locals", "percenthack", "virtualdomains", "concurrencyremote", "bouncefrom"} {
		d := controls(t, map[string]string{"me": "m\n"})
		os.Remove(filepath.Join(string(d), name))
		if err := os.Mkdir(filepath.Join(string(d), name), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := readSettings(d); err == nil {
			t.Errorf("an unreadable %s was taken for a default", name)
		}
	}
}
