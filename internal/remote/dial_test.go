package remote

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/nexthop"
	"quail/internal/tcpto"
)

// racer is a dialer to port, and the addresses given as ADDRESS/PREFERENCE.
func racer(t *testing.T, port uint16, timeout time.Duration, list ...string) (*dialer, []nexthop.Candidate) {
	t.Helper()
	home(t, nil)
	var candidates []nexthop.Candidate
	for _, s := range list {
		var c nexthop.Candidate
		addr, pref, _ := strings.Cut(s, "/")
		c.Addr = netip.MustParseAddr(addr)
		fmt.Sscan(pref, &c.Pref)
		candidates = append(candidates, c)
	}
	return &dialer{timeout: timeout, port: port, tcpto: tcpto.In(conf.Home), now: time.Now, pid: 1}, candidates
}

// listening is a server at addr with a port that is silent at 127.0.0.1.
func listening(t *testing.T, addr string, port uint16) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(addr, fmt.Sprint(port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

// Addresses of one preference are raced; the next preference waits until all of this
// one have failed. Only who has failed for good is remembered as silent.
func TestRace(t *testing.T) {
	port := silent(t) // at 127.0.0.1
	listening(t, "127.0.0.2", port)
	listening(t, "::1", port)
	for _, c := range []struct {
		name       string
		list       []string
		want       string
		least, max time.Duration
		counted    int
	}{
		{"one that answers", []string{"127.0.0.2/1"}, "127.0.0.2", 0, headStart, 0},
		{"the first one", []string{"::1/1", "127.0.0.2/1"}, "::1", 0, headStart, 0},
		{"one beside a silent one", []string{"127.0.0.1/1", "127.0.0.2/1"}, "127.0.0.2", headStart, 4 * headStart, 0},
		{"one after one that refuses", []string{"127.0.0.3/1", "127.0.0.2/1"}, "127.0.0.2", 0, headStart, 0},
		{"the next preference", []string{"127.0.0.1/1", "127.0.0.2/2"}, "127.0.0.2", time.Second, 3 * time.Second, 1},
		{"nobody", []string{"127.0.0.1/1", "127.0.0.3/1"}, "", time.Second, 3 * time.Second, 1},
		{"many that refuse", append(strings.Split(strings.Repeat("127.0.0.3/1 ", 30), " ")[:30], "::1/1"), "::1", 0, headStart, 0},
	} {
		d, candidates := racer(t, port, time.Second, c.list...)
		start := time.Now()
		a, v := d.first(context.Background(), candidates)
		took := time.Since(start)
		got := ""
		if a.conn != nil {
			got = a.conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().String()
			a.conn.Close()
		}
		if got != c.want || (v == noConnection) != (c.want == "") {
			t.Errorf("%s: connected to %q, %q, want %q", c.name, got, v, c.want)
		}
		if took < c.least || took > c.max+2*time.Second {
			t.Errorf("%s: took %v, want from %v to %v", c.name, took, c.least, c.max)
		}
		// What lost the race is stopped, and is neither silent nor alive.
		entries, err := d.tcpto.Entries()
		if err != nil || len(entries) != c.counted {
			t.Errorf("%s: %v, %v are remembered as silent, want %d", c.name, entries, err, c.counted)
		}
	}
}

// An address that is known to the file and answers is forgotten there, and so is one
// that refuses; one that is left alone for now is not raced.
func TestRaceMemory(t *testing.T) {
	port := silent(t)
	listening(t, "127.0.0.2", port)
	d, candidates := racer(t, port, time.Second, "127.0.0.1/1", "127.0.0.3/1", "127.0.0.2/1")
	past := time.Now().Add(-10 * time.Minute)
	for _, c := range candidates {
		d.tcpto.TimedOut(c.Addr, past)
	}
	d.tcpto.TimedOut(candidates[0].Addr, past.Add(5*time.Minute)) // twice: to be left alone
	start := time.Now()
	a, v := d.first(context.Background(), candidates)
	if v != "" {
		t.Fatal(v)
	}
	defer a.conn.Close()
	if took := time.Since(start); took > headStart {
		t.Errorf("took %v over a host to be left alone", took)
	}
	entries, err := d.tcpto.Entries()
	if err != nil || len(entries) != 1 || entries[0].Addr != candidates[0].Addr || entries[0].Count != 2 {
		t.Errorf("%v, %v are remembered, want 127.0.0.1 alone", entries, err)
	}
}
