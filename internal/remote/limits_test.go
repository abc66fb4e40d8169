package remote

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"quail/internal/nexthop"
)

func TestParseLimits(t *testing.T) {
	got, err := parseLimits([]string{"Example.NET:5:60/m", ".example.org:2", "::1000/h", "none.test::", "fast.test::7/s", "slow.test:1:1/d"})
	want := limits{
		"example.net":  {5, 60, time.Minute},
		".example.org": {2, 0, 0},
		"":             {0, 1000, time.Hour},
		"none.test":    {},
		"fast.test":    {0, 7, time.Second},
		"slow.test":    {1, 1, 24 * time.Hour},
	}
	if !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("limits are %v, %v, want %v", got, err, want)
	}
	for _, line := range []string{"a", "a:b", "a:-1", "a:1:2", "a:1:2/x", "a:1:0/m", "a:1:-3/m", "a:1:1/m:2", "a:1:/m", "a:1:100001/d", "a:1:x/d", "a: 1"} {
		if l, err := parseLimits([]string{line}); err == nil {
			t.Errorf("%q was taken for %v", line, l)
		}
	}
}

func TestLimitOf(t *testing.T) {
	l, err := parseLimits([]string{"a.test:1", ".test:2", ".b.test:3", ":4"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host string
		want int
	}{
		{"a.test", 1}, {"A.Test", 1}, {"b.test", 2}, {"x.b.test", 3}, {"x.a.test", 2}, {"test", 4}, {"", 4}, {"127.0.0.1", 4},
	} {
		if got := l.of(c.host); got.sessions != c.want {
			t.Errorf("limit of %q is %d, want %d", c.host, got.sessions, c.want)
		}
	}
	if got := (limits)(nil).of("x"); got != (limit{}) {
		t.Errorf("without limits there is %v", got)
	}
}

// In any period there are at most so many beginnings, however they are spread.
func TestRates(t *testing.T) {
	var r rates
	l := limit{count: 3, period: time.Minute}
	a, b := nexthop.Target{Host: "a"}, nexthop.Target{Host: "b"}
	start := time.Unix(1000, 0)
	for _, c := range []struct {
		host  nexthop.Target
		after time.Duration
		wait  time.Duration
	}{
		{a, 0, 0},
		{a, 10 * time.Second, 0},
		{a, 20 * time.Second, 0},
		{a, 30 * time.Second, 30 * time.Second},
		{b, 30 * time.Second, 0},
		{a, 59 * time.Second, time.Second},
		{a, 60 * time.Second, 0},
		{a, 61 * time.Second, 9 * time.Second},
		{a, 200 * time.Second, 0},
	} {
		if got := r.begin(c.host, l, start.Add(c.after)); got != c.wait {
			t.Errorf("%s after %v: wait %v, want %v", c.host.Host, c.after, got, c.wait)
		}
	}
	for i := range 3 * sweepAt {
		r.begin(nexthop.Target{Host: fmt.Sprint(i)}, l, start.Add(time.Duration(i)*time.Second))
	}
	if len(r.hosts) > sweepAt {
		t.Errorf("%d hosts are remembered", len(r.hosts))
	}
}

// What is over the rate is tried later, and says why.
func TestLimitedRate(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, map[string]string{"remotelimits": "127.0.0.1::3/h\n"})
	for i := range 5 {
		want := fine
		if i >= 3 {
			want = string(limited) + "\x00"
		}
		if got := one(t, r, "c@d"); got != want {
			t.Errorf("message %d: %q, want %q", i, got, want)
		}
	}
	if report := run(t, nowhere(), "hi\n", "x.test", "a@b", "c@d"); report != fine {
		t.Errorf("by itself: %q, want %q", report, fine)
	}
}

// Who waits for a session in vain says so.
func TestLimitedPatience(t *testing.T) {
	release := make(chan struct{})
	s := (&sink{answer: func(_ *caller, command string) string {
		if command == "DATA" {
			<-release
		}
		return ""
	}}).start(t)
	r := s.keeping(t, map[string]string{"remotelimits": "127.0.0.1:1\n", "timeoutremote": "20\n"})
	time.AfterFunc(limitWait+2*time.Second, func() { close(release) })
	reports := deliver(t, r, "hi\n", errand{"x.test", "a", "c@d"}, errand{"x.test", "b", "c@d"})
	if all := strings.Join(reports, ""); all != fine+string(limited)+"\x00" && all != string(limited)+"\x00"+fine {
		t.Errorf("reports %q", reports)
	}
	if got := one(t, r, "c@d"); got != fine {
		t.Errorf("afterwards: %q", got)
	}
}

// Whatever a file says, what is read of it is within bounds.
func FuzzLimits(f *testing.F) {
	for _, s := range []string{"a:1:2/m", "::9/s\nb:3", "a:", ":::", "x:99999999999999999999", "x::100000/d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		l, err := parseLimits(strings.Split(file, "\n"))
		if err != nil && l != nil {
			t.Errorf("%q has an error and limits", file)
		}
		for host, one := range l {
			if one.sessions < 0 || one.count < 0 || one.count > maxCount || (one.count > 0) != (one.period > 0) {
				t.Errorf("%q: %v", file, one)
			}
			if got := l.of(host); got != one {
				t.Errorf("%q: %q has %v, listed is %v", file, host, got, one)
			}
		}
	})
}
