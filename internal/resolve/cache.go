package resolve

import (
	"errors"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Bounds on what a Cache keeps.
const (
	maxTTL         = time.Hour        // of an answer
	maxNegativeTTL = 15 * time.Minute // of a denial
	maxEntries     = 10_000
	maxBytes       = 4 << 20
)

// Cache keeps answers for as long as whoever gave them allows, denials too (RFC
// 2308), and asks a question once that many have at one time. What failed is not
// kept. A process of many jobs has one for all of them.
type Cache struct {
	Now func() time.Time

	mu      sync.Mutex
	entries map[topic]*entry
	bytes   int
}

// topic is what a question is about.
type topic struct {
	name  string // canonical
	qtype uint16
}

// entry is an answer, or the expectation of one.
type entry struct {
	known   chan struct{} // closed when the answer is there
	answer  answer
	expires time.Time // zero before that
	bytes   int
}

// answer is what a question led to.
type answer struct {
	records []dns.RR
	kind    Kind  // where denied or err is set
	denied  bool  // the name, or the record, is not there
	err     error // no usable answer; Kind says what to make of it
	ttl     time.Duration
	bytes   int
}

var errAsking = errors.New("the question was not asked to its end")

// find returns the answer that is kept, or that somebody is waiting for already, or
// the one that ask gets.
func (c *Cache) find(t topic, ask func() answer) answer {
	e, mine := c.reserve(t)
	if !mine {
		<-e.known
		return e.answer
	}
	e.answer = answer{err: errAsking} // if ask panics
	defer func() { c.settle(t, e) }()
	e.answer = ask()
	return e.answer
}

// reserve returns the entry of a topic, and whether the caller has to fill it.
func (c *Cache) reserve(t topic) (e *entry, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[t]; e != nil && (e.expires.IsZero() || c.Now().Before(e.expires)) {
		return e, false
	}
	c.remove(t)
	e = &entry{known: make(chan struct{})}
	if c.entries == nil {
		c.entries = make(map[topic]*entry)
	}
	c.entries[t] = e
	return e, true
}

// settle makes an answer known, and keeps it for its time.
func (c *Cache) settle(t topic, e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(e.known)
	if e.answer.ttl <= 0 {
		c.remove(t)
		return
	}
	e.expires = c.Now().Add(e.answer.ttl)
	e.bytes = e.answer.bytes + len(t.name)
	c.bytes += e.bytes
	if len(c.entries) > maxEntries || c.bytes > maxBytes {
		c.shrink()
	}
}

func (c *Cache) remove(t topic) {
	if e := c.entries[t]; e != nil {
		c.bytes -= e.bytes
		delete(c.entries, t)
	}
}

// shrink makes room: what has expired goes first, then whatever comes, until a
// quarter of the room is free.
func (c *Cache) shrink() {
	now := c.Now()
	for _, expired := range []bool{true, false} {
		for t, e := range c.entries {
			if len(c.entries) <= maxEntries*3/4 && c.bytes <= maxBytes*3/4 {
				return
			}
			if !e.expires.IsZero() && (!expired || !now.Before(e.expires)) {
				c.remove(t)
			}
		}
	}
}

// lifetime is how long a reply may be kept. records are those of it that answer the
// question: without any it is a denial, which lives as long as the zone's SOA record
// beside it says, and not at all without one.
func lifetime(m *dns.Msg, records []dns.RR) time.Duration {
	most := maxTTL
	if len(records) == 0 {
		most = 0
		for _, rr := range m.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				most = min(ttl(soa.Hdr.Ttl), ttl(soa.Minttl), maxNegativeTTL)
			}
		}
	}
	for _, rr := range m.Answer {
		most = min(most, ttl(rr.Header().Ttl))
	}
	return most
}

// ttl reads a time to live; one with the highest bit set is 0 (RFC 2181, section 8).
func ttl(seconds uint32) time.Duration {
	if seconds >= 1<<31 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
