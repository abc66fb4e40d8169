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

var virtual = "joe@v.example:alice\n" +
	"v.example:virt\n" +
	".w.example:wild\n" +
	"x.w.example:\n" + // an exception: remote
	"Dup.example:first\ndup.example:second\n"

func TestRoute(t *testing.T) {
	s := mustRead(t, map[string]string{
		"me": "me.example\n", "locals": "local.example\nme.example\n",
		"percenthack": "pct.example\n", "virtualdomains": virtual,
	})
	for _, c := range []struct{ in, want string }{
		{"joe", "local joe@me.example"},
		{"Joe@LOCAL.example", "local Joe@LOCAL.example"},
		{"", "local @me.example"},
		{"a@far.example", "remote a@far.example"},
		{"a@", "remote a@"},
		{"a%b@far.example", "remote a%b@far.example"},
		{"a%local.example@pct.example", "local a@local.example"},
		{"a%b%pct.example@PCT.example", "remote a@b"}, // once more, since the result is in percenthack too
		{"a%far.example@pct.example", "remote a@far.example"},
		{"a@pct.example", "remote a@pct.example"},
		{"a%b@local.example@pct.example", "local a@b@local.example"},
		{"joe@v.example", "local alice-joe@v.example"},
		{"JOE@V.example", "local alice-JOE@V.example"},
		{"sue@v.example", "local virt-sue@v.example"},
		{"a@y.w.example", "local wild-a@y.w.example"},
		{"a@w.example", "remote a@w.example"}, // .w.example is not w.example
		{"a@x.w.example", "remote a@x.w.example"},
		{"a@z.x.w.example", "local wild-a@z.x.w.example"},
		{"a@dup.example", "local second-a@dup.example"},
		{"q@r@local.example", "local q@r@local.example"},
	} {
		ch, address := s.routes.route(c.in)
		if got := ch.String() + " " + address; got != c.want {
			t.Errorf("route(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// The host that an address is given is one domain to percenthack, whatever is in it.
func TestRouteOddHost(t *testing.T) {
	s := mustRead(t, map[string]string{"me": "m\n", "envnoathost": "x@h.example\n", "percenthack": "h.example\n", "locals": "h.example\n"})
	for in, want := range map[string]string{
		"a%b":           "local a%b@x@h.example",
		"a%b@h.example": "remote a@b",
	} {
		ch, address := s.routes.route(in)
		if got := ch.String() + " " + address; got != want {
			t.Errorf("route(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRouteCatchAll(t *testing.T) {
	s := mustRead(t, map[string]string{"me": "m\n", "locals": "", "virtualdomains": ":all\nout.example:\n"})
	for in, want := range map[string]string{
		"a@any.example": "local all-a@any.example",
		"a@out.example": "remote a@out.example",
		"a":             "local all-a@m", // an empty locals means that nothing is local
		"a@":            "local all-a@",
	} {
		ch, address := s.routes.route(in)
		if got := ch.String() + " " + address; got != want {
			t.Errorf("route(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWithoutPrefix(t *testing.T) {
	s := mustRead(t, map[string]string{"me": "m\n", "virtualdomains": virtual})
	for in, want := range map[string]string{
		"virt-sue@v.example":   "sue@v.example",
		"alice-joe@v.example":  "alice-joe@v.example", // virtual by its whole address: kept, as qmail does
		"wild-a@y.w.example":   "a@y.w.example",
		"a@m":                  "a@m",
		"no at":                "no at",
		"other-a@z.w.example":  "other-a@z.w.example",
		"wild-a@x.w.example":   "wild-a@x.w.example",
		"second-b@DUP.EXAMPLE": "b@DUP.EXAMPLE",
	} {
		if got := s.routes.withoutPrefix(in); got != want {
			t.Errorf("withoutPrefix(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSenderFor(t *testing.T) {
	for _, c := range []struct{ sender, recipient, want string }{
		{"owner-@host-@[]", "rcpt@dom", "owner-rcpt=dom@host"},
		{"owner-@host-@[]", "virt-r@q@dom", "owner-virt-r@q=dom@host"},
		{"a@b", "r@d", "a@b"},
		{"", "r@d", ""},
		{"#@[]", "r@d", "#@[]"},
		{"-@[]", "r@d", "-@[]"},
		{"owner-@host-@[]", "noat", "owner-@host-@[]"},
	} {
		if got := senderFor(c.sender, c.recipient); got != c.want {
			t.Errorf("senderFor(%q, %q) = %q, want %q", c.sender, c.recipient, got, c.want)
		}
	}
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
	if !s.routes.locals.Has("M") || s.routes.envNoAtHost != "m" {
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

// No recipient is lost or doubled by rewriting, and what a bounce shows of a
// virtual recipient is what was rewritten, unless a whole-address key was at work.
func FuzzRoute(f *testing.F) {
	f.Add("a%b@pct.example")
	f.Add("x@y.w.example")
	dir := f.TempDir()
	for name, contents := range map[string]string{"me": "m.example", "percenthack": "pct.example", "virtualdomains": "v.example:virt\n.w.example:wild\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(contents), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	s, err := readSettings(control.Dir(dir))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in string) {
		ch, address := s.routes.route(in)
		if !strings.Contains(address, "@") {
			t.Fatalf("route(%q) = %q: no host", in, address)
		}
		back := s.routes.withoutPrefix(address)
		if ch == queue.Local && back != address {
			if again, _ := s.routes.route(back); again != ch {
				t.Errorf("route(%q) = %v %q, whose bounce says %q", in, ch, address, back)
			}
		}
		if strings.Count(address, "\n") != strings.Count(in, "\n") {
			t.Errorf("route(%q) = %q", in, address)
		}
	})
}
