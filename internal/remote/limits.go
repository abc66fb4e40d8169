package remote

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"quail/internal/mailaddr"
	"quail/internal/nexthop"
)

// limits is control/remotelimits: by host, ending of a host (.example.net) or ""
// for all others, what one host is to be spared.
type limits map[string]limit

// limit is what one host may get; 0 is no limit.
type limit struct {
	sessions int // at once
	count    int // transactions begun
	period   time.Duration
}

var errLimit = errors.New("malformed line in control/remotelimits")

var periods = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

// maxCount bounds the memory that one host's rate takes.
const maxCount = 100_000

// parseLimits reads lines HOST:SESSIONS or HOST:SESSIONS:COUNT/PERIOD, of which each
// number may be left out. What cannot be read is an error: to guess would be to
// trouble a host that is to be spared.
func parseLimits(lines []string) (limits, error) {
	l := make(limits, len(lines))
	for _, line := range lines {
		fields := strings.Split(line, ":")
		if len(fields) < 2 || len(fields) > 3 {
			return nil, errLimit
		}
		var one limit
		var err error
		if fields[1] != "" {
			if one.sessions, err = strconv.Atoi(fields[1]); err != nil || one.sessions < 0 {
				return nil, errLimit
			}
		}
		if len(fields) == 3 && fields[2] != "" {
			count, period, _ := strings.Cut(fields[2], "/")
			one.count, err = strconv.Atoi(count)
			one.period = periods[period]
			if err != nil || one.count < 1 || one.count > maxCount || one.period == 0 {
				return nil, errLimit
			}
		}
		l[mailaddr.Lower(fields[0])] = one
	}
	return l, nil
}

// of returns what applies to a host; without a line for it or above it, nothing.
func (l limits) of(host string) limit {
	if len(l) == 0 {
		return limit{}
	}
	host = mailaddr.Lower(host)
	for _, key := range append(mailaddr.Suffixes(host), "") {
		if one, ok := l[key]; ok {
			return one
		}
	}
	return limit{}
}

// rates counts what hosts that have a rate have got.
type rates struct {
	mu    sync.Mutex
	hosts map[nexthop.Target]*starts
}

// starts is when transactions with a host began, within its period.
type starts struct {
	limit
	times []time.Time
}

// begin lets a transaction with t begin, or says how long it has to wait for that.
func (r *rates) begin(t nexthop.Target, l limit, now time.Time) (wait time.Duration) {
	if l.count == 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.hosts[t]
	if h == nil {
		r.sweep(now)
		h = new(starts)
		r.hosts[t] = h
	}
	h.limit = l
	h.forget(now)
	if len(h.times) < l.count {
		h.times = append(h.times, now)
		return 0
	}
	return h.times[len(h.times)-l.count].Add(l.period).Sub(now)
}

// forget drops what was before the period.
func (h *starts) forget(now time.Time) {
	old := 0
	for old < len(h.times) && now.Sub(h.times[old]) >= h.period {
		old++
	}
	if old > 0 {
		h.times = append(h.times[:0], h.times[old:]...)
	}
}

// sweepAt is how many hosts are remembered before those are looked for that got
// nothing of late.
const sweepAt = 1000

func (r *rates) sweep(now time.Time) {
	if r.hosts == nil {
		r.hosts = make(map[nexthop.Target]*starts)
	}
	if len(r.hosts) < sweepAt {
		return
	}
	for t, h := range r.hosts {
		if h.forget(now); len(h.times) == 0 {
			delete(r.hosts, t)
		}
	}
}

// admit waits for a transaction with t to be allowed; it is false if that would take
// too long.
func (r *rates) admit(t nexthop.Target, l limit, now func() time.Time) bool {
	deadline := now().Add(limitWait)
	for {
		wait := r.begin(t, l, now())
		if wait <= 0 {
			return true
		}
		if now().Add(wait).After(deadline) {
			return false
		}
		time.Sleep(wait)
	}
}
