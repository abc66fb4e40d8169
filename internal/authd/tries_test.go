package authd

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// clocked runs a test on a clock that goes on when everybody waits.
func clocked(t *testing.T, test func(t *testing.T, y *tries)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newTries(time.Now)) })
}

// guess tries and is wrong, and returns how long that took.
func (t *tries) guess(ip, user string) (time.Duration, error) {
	began := t.now()
	y := t.from(ip)
	if err := y.enter(user); err != nil {
		return t.now().Sub(began), err
	}
	time.Sleep(y.wrong(user))
	return t.now().Sub(began), nil
}

// knows tries and is right, and returns how long that took.
func (t *tries) knows(ip, user string) (time.Duration, error) {
	began := t.now()
	y := t.from(ip)
	err := y.enter(user)
	if err == nil {
		y.right()
	}
	return t.now().Sub(began), err
}

func TestPriceGrowsAndIsForgotten(t *testing.T) {
	clocked(t, func(t *testing.T, y *tries) {
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
			if got, err := y.guess("192.0.2.1", fmt.Sprint("user", i)); got != want*time.Second || err != nil {
				t.Errorf("wrong answer %d took %v, %v, want %ds", i+1, got, err, want)
			}
		}
		time.Sleep(forgiven)
		if got, _ := y.guess("192.0.2.1", "x"); got != longest {
			t.Errorf("after %v: %v", forgiven, got)
		}
		time.Sleep(levels * forgiven)
		if got, _ := y.guess("192.0.2.1", "x2"); got != time.Second {
			t.Errorf("after a long time: %v", got)
		}
	})
}

// By account the price grows as well, from wherever the guesses come; and nobody who
// knows the password waits for that.
func TestManyPlacesOneAccount(t *testing.T) {
	clocked(t, func(t *testing.T, y *tries) {
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			if got, err := y.guess(fmt.Sprintf("192.0.2.%d", i), "Joe"); got != want*time.Second || err != nil {
				t.Errorf("wrong answer %d took %v, %v, want %ds", i+1, got, err, want)
			}
			if got, err := y.knows("198.51.100.7", "joe"); got != 0 || err != nil {
				t.Errorf("joe waits for %v, %v", got, err)
			}
		}
		// A place pays for its own wrong answers alone: the second guess there is looked
		// at after one second, even if the first one is answered after thirty.
		y.guess("203.0.113.1", "joe")
		if got, _ := y.knows("203.0.113.1", "sue"); got != 0 {
			t.Errorf("sue waits for %v", got)
		}
	})
}

// Tries in parallel wait for each other, also those whose clients do not stay for the
// answer; too many are sent away.
func TestParallel(t *testing.T) {
	clocked(t, func(t *testing.T, y *tries) {
		const ip = "192.0.2.1"
		y.guess(ip, "joe") // from now on one at a time, at 2, 4, 8… seconds each
		type result struct {
			took time.Duration
			err  error
		}
		results := make(chan result)
		const n = 1 + inLine + 5
		began := y.now()
		for range n {
			go func() {
				a := y.from(ip)
				err := a.enter("joe")
				if err == nil {
					a.wrong("joe") // and gone
				}
				results <- result{y.now().Sub(began), err}
			}()
			synctest.Wait()
		}
		refused, looked := 0, 0
		for range n {
			r := <-results
			if r.err != nil {
				refused++
			} else {
				looked++
			}
		}
		// Within the minute that each waits there are turns at 0, 2, 6, 14 and 30 seconds, and
		// at the end of the minute, at 60.
		if looked < 5 || looked > 6 || refused != n-looked {
			t.Errorf("%d were looked at, %d refused", looked, refused)
		}
		// Elsewhere nobody has noticed.
		if got, err := y.knows("192.0.2.2", "joe"); got != 0 || err != nil {
			t.Errorf("joe waits for %v, %v", got, err)
		}
	})
}

// A place that has given no wrong answer has several answers looked for at once, and pays
// for each that was wrong.
func TestAtOnce(t *testing.T) {
	clocked(t, func(t *testing.T, y *tries) {
		const ip = "2001:db8::1"
		var under []*try
		for i := range atOnce {
			a := y.from(ip)
			if err := a.enter(fmt.Sprint("u", i)); err != nil {
				t.Fatal(err)
			}
			under = append(under, a)
		}
		late := make(chan time.Duration)
		go func() {
			began := y.now()
			a := y.from("2001:db8::ffff:1") // the same /64
			if a.enter("late") != nil {
				late <- -1
				return
			}
			late <- y.now().Sub(began)
			a.leave()
		}()
		synctest.Wait()
		var last time.Duration
		for i, a := range under[:4] {
			last = a.wrong(fmt.Sprint("u", i))
		}
		for _, a := range under[4:] {
			a.right()
		}
		if want := (1 + 2 + 4 + 8) * time.Second; last != want {
			t.Errorf("the fourth wrong answer is kept back for %v, want %v", last, want)
		}
		if got := <-late; got != 15*time.Second {
			t.Errorf("the next one waits for %v", got)
		}
	})
}

// An account that is known at a place waits for nobody else there.
func TestKnown(t *testing.T) {
	clocked(t, func(t *testing.T, y *tries) {
		const ip = "192.0.2.1"
		y.knows(ip, "joe")
		for range 6 {
			y.guess(ip, "sue")
		}
		go y.guess(ip, "sue")
		synctest.Wait()
		if got, err := y.knows(ip, "JOE"); got != 0 || err != nil {
			t.Errorf("joe waits for %v, %v", got, err)
		}
		// But its own guesses cost.
		for i, want := range []time.Duration{1, 2, 4} {
			if got, _ := y.guess(ip, "joe"); got != want*time.Second {
				t.Errorf("wrong answer %d of joe took %v", i+1, got)
			}
		}
		time.Sleep(trusted)
		for range 6 {
			y.guess(ip, "sue")
		}
		go y.guess(ip, "sue")
		synctest.Wait()
		if got, err := y.knows(ip, "joe"); got == 0 || err != nil {
			t.Errorf("after a month joe waits for %v, %v", got, err)
		}
	})
}

// However many come, what is remembered of them is bounded, and nothing is kept of those
// that did nothing wrong.
func TestBounded(t *testing.T) {
	y := newTries(func() time.Time { return time.Unix(978307200, 0) })
	for i := range mostKept + 100 {
		a := y.from(fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff))
		if err := a.enter("joe"); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			a.leave()
		} else {
			a.right()
		}
	}
	if len(y.places) != 0 || y.idle.order.Len() != 0 || y.known.order.Len() > mostKept || len(y.known.byKey) != y.known.order.Len() {
		t.Errorf("%d places in use, %d idle, %d known", len(y.places), y.idle.order.Len(), y.known.order.Len())
	}
	for i := range 2*mostKept + 10 {
		y.idle.put(fmt.Sprint(i), blame{1, y.now()})
	}
	if n := len(y.idle.byKey); n != mostKept || y.idle.order.Len() != n {
		t.Errorf("%d are kept", n)
	}
	if _, ok := y.idle.get("9"); ok {
		t.Error("the oldest one is kept")
	}
	if b, ok := y.idle.get(fmt.Sprint(2*mostKept + 9)); !ok || b.level != 1 {
		t.Error("the newest one is not kept")
	}
}

func TestSource(t *testing.T) {
	for _, c := range []struct{ ip, want string }{
		{"192.0.2.1", "192.0.2.1/32"}, {"::ffff:192.0.2.1", "192.0.2.1/32"}, {"2001:db8::1", "2001:db8::/64"},
		{"2001:db8::ffff:0:0:1", "2001:db8::/64"}, {"2001:db8:0:1::", "2001:db8:0:1::/64"}, {"fe80::1%eth0", "fe80::/64"},
		{"", "?"}, {"unknown", "?unknown"},
	} {
		if got := source(c.ip); got != c.want {
			t.Errorf("%q is at %q, want %q", c.ip, got, c.want)
		}
	}
}
