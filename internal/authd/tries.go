package authd

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// What wrong answers cost.
const (
	// levels is how many wrong answers count: the first costs a second, each further
	// one twice that, up to longest.
	levels  = 6
	longest = 30 * time.Second
	// forgiven is how long it takes for one of them to be forgotten.
	forgiven = 5 * time.Minute
	// trusted is how long an account counts as known at a place after a right answer.
	trusted = 30 * 24 * time.Hour
)

// Bounds.
const (
	atOnce    = 8                // answers looked for at a place that has given no wrong one
	inLine    = 10               // tries that wait at a place
	waitTurn  = 60 * time.Second // and for how long
	mostKept  = 20_000           // places, accounts, and known accounts that are remembered
	unnamed   = 64               // bytes of what should be an address and is none
	delimiter = "\x00"           // between a place and an account
)

// errBusy is the answer to a try for which there are too many others before it.
var errBusy = errors.New("too many tries to log in at once; try again later")

// tries decides when answers are given. A wrong answer has a price, which is time: of the
// place that it came from, an IPv4 address or an IPv6 /64, where nothing further is looked
// at before it is paid, whether or not the client stays to hear the answer; and of the
// account, for wrong answers alone. So nobody at another place has to wait for a right
// answer, whatever happens to the account, and parallel tries are no faster.
//
// An account that has proven itself at a place within the last 30 days is a place of its
// own there: others behind the same address who get it wrong are no trouble to it.
type tries struct {
	now func() time.Time

	mu       sync.Mutex
	places   map[string]*place // in use
	idle     *recent[blame]    // places that are not
	accounts *recent[blame]
	known    *recent[time.Time] // when the last right answer was, by place and account
}

// blame is how many wrong answers are remembered, and when the last one was.
type blame struct {
	level int
	at    time.Time
}

// now returns the level after what has been forgotten.
func (b blame) now(now time.Time) int {
	return max(0, b.level-int(max(0, now.Sub(b.at))/forgiven))
}

// more is the blame after one more wrong answer.
func (b blame) more(now time.Time) blame {
	return blame{min(levels, b.now(now)+1), now}
}

// price is what a wrong answer costs at a level from 1 on.
func price(level int) time.Duration {
	return min(longest, time.Second<<(level-1))
}

// place is where tries come from.
type place struct {
	blame
	held int       // turns that are taken
	paid time.Time // when all is paid for
	line []*waiter
}

// waiter is a try that waits for its turn.
type waiter struct {
	turn  chan struct{} // closed when it has come
	given bool
}

func newTries(now func() time.Time) *tries {
	return &tries{now: now, places: map[string]*place{}, idle: newRecent[blame](mostKept),
		accounts: newRecent[blame](mostKept), known: newRecent[time.Time](mostKept)}
}

// source returns the name of the place that an address belongs to.
func source(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return "?" + ip[:min(len(ip), unnamed)]
	}
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p.String()
}

// account returns the name by which wrong answers for a user are counted.
func account(user string) string { return strings.ToLower(user) }

// try is one exchange on its way to an answer. It is for one goroutine.
type try struct {
	t     *tries
	from  string // the place of the address
	place string // the one where the turn is taken; "" if there is none
	user  string
}

func (t *tries) from(ip string) *try { return &try{t: t, from: source(ip)} }

// enter waits until an answer may be looked for, for this user if it is known, else "".
// Until leave or wrong it has no effect then.
func (y *try) enter(user string) error {
	if y.place != "" {
		return nil
	}
	t := y.t
	t.mu.Lock()
	name := y.from
	if user != "" {
		y.user = user
		own := y.from + delimiter + account(user)
		if at, ok := t.known.get(own); ok && t.now().Sub(at) < trusted {
			name = own
		}
	}
	p := t.places[name]
	if p == nil {
		p = &place{}
		p.blame, _ = t.idle.get(name)
		t.places[name] = p
	}
	if len(p.line) == 0 && p.free(t.now()) {
		p.held++
		t.mu.Unlock()
		y.place = name
		return nil
	}
	if len(p.line) >= inLine {
		t.mu.Unlock()
		return errBusy
	}
	w := &waiter{turn: make(chan struct{})}
	p.line = append(p.line, w)
	t.mu.Unlock()
	patience := time.NewTimer(waitTurn)
	defer patience.Stop()
	select {
	case <-w.turn:
	case <-patience.C:
		if t.giveUp(p, w) {
			return errBusy
		}
	}
	y.place = name
	return nil
}

// giveUp takes a waiter out of the line, unless its turn has come.
func (t *tries) giveUp(p *place, w *waiter) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.given {
		return false
	}
	for i := range p.line {
		if p.line[i] == w {
			p.line = append(p.line[:i], p.line[i+1:]...)
			break
		}
	}
	return true
}

// free reports whether one more may take a turn.
func (p *place) free(now time.Time) bool {
	if p.blame.now(now) > 0 {
		return p.held == 0
	}
	return p.held < atOnce
}

// leave ends the turn, without an answer.
func (y *try) leave() {
	if y.place != "" {
		y.t.release(y.place)
		y.place = ""
	}
}

// right ends the turn with a right answer.
func (y *try) right() {
	if y.user != "" {
		y.t.mu.Lock()
		y.t.known.put(y.from+delimiter+account(y.user), y.t.now())
		y.t.mu.Unlock()
	}
	y.leave()
}

// wrong counts a wrong answer, for user if that is known, and returns how long it has to
// be kept back. The turn ends when the place has paid, whoever waits for the answer.
func (y *try) wrong(user string) time.Duration {
	t := y.t
	t.mu.Lock()
	now := t.now()
	p := t.places[y.place]
	p.blame = p.blame.more(now)
	if p.paid.Before(now) {
		p.paid = now
	}
	p.paid = p.paid.Add(price(p.level))
	pays := p.paid.Sub(now)
	waits := pays
	if user != "" && !strings.Contains(y.place, delimiter) {
		b, _ := t.accounts.get(account(user))
		b = b.more(now)
		t.accounts.put(account(user), b)
		waits = max(waits, price(b.level))
	}
	t.mu.Unlock()
	name := y.place
	y.place = ""
	time.AfterFunc(pays, func() { t.release(name) })
	return waits
}

// release gives a turn back, and to who waits for it.
func (t *tries) release(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.places[name]
	p.held--
	for len(p.line) > 0 && p.free(t.now()) {
		w := p.line[0]
		p.line = p.line[1:]
		p.held++
		w.given = true
		close(w.turn)
	}
	if p.held == 0 && len(p.line) == 0 {
		delete(t.places, name)
		if p.level > 0 {
			t.idle.put(name, p.blame)
		}
	}
}
