package authd

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"quail/internal/ascii"
	"quail/internal/control"
)

// limitsFile is control/submissionlimits.
const limitsFile = "submissionlimits"

// limits is what that file says.
type limits struct {
	logins   map[string]limit // by login in lower case; "*" for all that are not named
	networks []network
}

// network is the addresses that a line in brackets stands for. Each of them, or each
// /64, is counted by itself.
type network struct {
	prefix netip.Prefix
	limit  limit
}

// limit is what may be submitted in an hour; 0 is no limit.
type limit struct{ messages, recipients int }

// mostLimit bounds the numbers in the file.
const mostLimit = 1_000_000

// parseLimits reads lines LOGIN:MESSAGES:RECIPIENTS and [NETWORK]:MESSAGES:RECIPIENTS,
// where either number, and the second with its colon, may be left out. What cannot be
// read is an error: to guess would be to let a stolen password send what it likes.
func parseLimits(lines []string) (*limits, error) {
	l := &limits{logins: map[string]limit{}}
	for _, line := range lines {
		who, numbers, ok := cutName(line)
		if !ok {
			return nil, malformed(line)
		}
		one, ok := parseLimit(numbers)
		if !ok {
			return nil, malformed(line)
		}
		inner, bracket := strings.CutPrefix(who, "[")
		if !bracket {
			l.logins[account(who)] = one
			continue
		}
		prefix, err := parseNetwork(strings.TrimSuffix(inner, "]"))
		if err != nil {
			return nil, malformed(line)
		}
		l.networks = append(l.networks, network{prefix, one})
	}
	return l, nil
}

func malformed(line string) error {
	return fmt.Errorf("malformed line in control/%s: %s", limitsFile, ascii.Printable(line, '?'))
}

// cutName divides a line behind its login, or its address in brackets, which has colons
// of its own. A login has none.
func cutName(line string) (who, numbers string, ok bool) {
	if strings.HasPrefix(line, "[") {
		who, numbers, ok = strings.Cut(line, "]:")
		return who + "]", numbers, ok
	}
	who, numbers, ok = strings.Cut(line, ":")
	return who, numbers, ok && who != ""
}

func parseLimit(numbers string) (l limit, ok bool) {
	messages, recipients, _ := strings.Cut(numbers, ":")
	for _, f := range []struct {
		text string
		n    *int
	}{{messages, &l.messages}, {recipients, &l.recipients}} {
		if f.text == "" {
			continue
		}
		n, err := strconv.Atoi(f.text)
		if err != nil || n < 1 || n > mostLimit {
			return limit{}, false
		}
		*f.n = n
	}
	return l, true
}

// parseNetwork reads an address, or a network with the length of its prefix.
func parseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return a.Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(text)
	if bits := p.Bits() - 96; err == nil && p.Addr().Is4In6() && bits >= 0 {
		p = netip.PrefixFrom(p.Addr().Unmap(), bits)
	}
	return p.Masked(), err
}

// ofLogin returns what applies to a login.
func (l *limits) ofLogin(login string) limit {
	if one, ok := l.logins[account(login)]; ok {
		return one
	}
	return l.logins["*"]
}

// ofAddress returns what applies to an address: the line of the smallest network that it
// is in.
func (l *limits) ofAddress(ip string) (one limit) {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return limit{}
	}
	a = a.Unmap().WithZone("")
	bits := -1
	for _, n := range l.networks {
		if n.prefix.Contains(a) && n.prefix.Bits() >= bits {
			one, bits = n.limit, n.prefix.Bits()
		}
	}
	return one
}

// window is how many minutes are counted by themselves: an hour, and the minute that has
// begun.
const window = 61

// usage is what has been submitted within the last hour. Its zero value is nothing.
type usage struct {
	minutes [window]limit // by minute modulo window
	last    int64         // the minute of the clock that was looked at last
}

// advance forgets what is older than an hour; and all, where the clock has been set back
// so far that nobody knows what that is: it must not take until then to be forgotten.
func (u *usage) advance(minute int64) {
	if u.last-minute >= window {
		*u = usage{last: minute - 1}
	}
	for m := max(u.last+1, minute-window+1); m <= minute; m++ {
		u.minutes[m%window] = limit{}
	}
	u.last = max(u.last, minute)
}

// room returns how many minutes it is until n more fit below most; 0 if they do now, and
// -1 if they never do.
func (u *usage) room(n, most int, count func(limit) int) int {
	if most == 0 {
		return 0
	}
	if n > most {
		return -1
	}
	sum := n
	for _, m := range u.minutes {
		sum += count(m)
	}
	wait := 0
	for m := u.last - window + 1; sum > most; m++ {
		sum -= count(u.minutes[(m%window+window)%window])
		wait = int(m - (u.last - window))
	}
	return wait
}

func messages(l limit) int   { return l.messages }
func recipients(l limit) int { return l.recipients }

// spending counts what is submitted. The file is read again when it has changed.
type spending struct {
	now func() time.Time
	dir control.Dir

	mu     sync.Mutex
	stamp  control.Stamp
	limits *limits
	bad    error
	used   *recent[*usage]
}

func newSpending(now func() time.Time, dir control.Dir) *spending {
	return &spending{now: now, dir: dir, used: newRecent[*usage](mostKept)}
}

// read brings the limits up to date. The lock is held.
func (s *spending) read() error {
	stamp := s.dir.Stamp(limitsFile)
	if s.stamp != nil && stamp.Same(s.stamp) {
		return s.bad
	}
	lines, _, err := s.dir.List(limitsFile)
	if err == nil {
		s.limits, err = parseLimits(lines)
	}
	s.stamp, s.bad = stamp, err
	return err
}

// part is one limit that a submission is held against.
type part struct {
	name string
	limit
	*usage
}

// spend counts a submission, or says why it has to wait. An error is a file that cannot
// be used.
func (s *spending) spend(login, ip string, n limit) (refusal string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.read(); err != nil {
		return "", err
	}
	now := s.now()
	var parts []part
	if login != "" {
		parts = append(parts, part{name: login, limit: s.limits.ofLogin(login)})
	}
	parts = append(parts, part{name: strings.TrimSuffix(source(ip), "/32"), limit: s.limits.ofAddress(ip)})
	for i := range parts {
		p := &parts[i]
		if p.limit == (limit{}) {
			continue
		}
		key := fmt.Sprint(i == 0 && login != "", account(p.name))
		p.usage, _ = s.used.get(key)
		if p.usage == nil {
			p.usage = &usage{last: now.Unix()/60 - 1}
			s.used.put(key, p.usage)
		}
		p.advance(now.Unix() / 60)
		if refusal := p.refusal(n, now); refusal != "" {
			return refusal, nil
		}
	}
	for _, p := range parts {
		if p.usage != nil {
			m := &p.minutes[p.last%window]
			m.messages += n.messages
			m.recipients += n.recipients
		}
	}
	return "", nil
}

// refusal says which limit forbids n more, and when it will not; "" if none does.
func (p *part) refusal(n limit, now time.Time) string {
	for _, c := range []struct {
		n, most int
		what    string
		count   func(limit) int
	}{{n.messages, p.limit.messages, "messages", messages}, {n.recipients, p.limit.recipients, "recipients", recipients}} {
		wait := p.room(c.n, c.most, c.count)
		if wait == 0 {
			continue
		}
		text := fmt.Sprintf("limit of %s an hour for %s is %d", c.what, ascii.Printable(p.name, '?'), c.most)
		if wait < 0 {
			return text + ", and this is more"
		}
		at := now.Truncate(time.Minute).Add(time.Duration(wait) * time.Minute)
		return text + "; there is room again from " + at.Format("15:04") + " UTC"
	}
	return ""
}
