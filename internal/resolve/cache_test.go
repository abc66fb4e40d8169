package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"quail/internal/dnstest"
	"quail/internal/resolve"
)

// counted is a name server that counts what it is asked, and a clock of its own.
type counted struct {
	mu    sync.Mutex
	asked map[string]int // "name type"
	now   time.Time
	hold  chan struct{} // if not nil, answers wait until it is closed
}

func (c *counted) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *counted) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *counted) total() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, times := range c.asked {
		n += times
	}
	return n
}

// serve answers MX questions: those about soft... fail, those about no... are denied
// with the SOA record of soa, all others get the records of answer with the name put
// in.
func (c *counted) serve(t *testing.T, soa string, answer ...string) *resolve.Resolver {
	c.asked, c.now = map[string]int{}, time.Unix(1_000_000, 0)
	record := func(text string) dns.RR {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Error(err)
		}
		return rr
	}
	server := dnstest.Serve(t, func(w dns.ResponseWriter, query *dns.Msg) {
		q := query.Question[0]
		c.mu.Lock()
		c.asked[q.Name+" "+dns.TypeToString[q.Qtype]]++
		c.mu.Unlock()
		if c.hold != nil {
			<-c.hold
		}
		m := new(dns.Msg).SetReply(query)
		m.RecursionAvailable = true
		switch {
		case strings.HasPrefix(strings.ToLower(q.Name), "soft"):
			m.Rcode = dns.RcodeServerFailure
		case strings.HasPrefix(strings.ToLower(q.Name), "no"):
			if m.Rcode = dns.RcodeNameError; strings.HasPrefix(strings.ToLower(q.Name), "nodata") {
				m.Rcode = dns.RcodeSuccess
			}
			if soa != "" {
				m.Ns = append(m.Ns, record(soa))
			}
		default:
			for _, text := range answer {
				m.Answer = append(m.Answer, record(strings.ReplaceAll(text, "@", q.Name)))
			}
		}
		w.WriteMsg(m)
	})
	return &resolve.Resolver{Config: server.Config, Port: server.Port, Cache: &resolve.Cache{Now: c.clock}}
}

// An answer is used until its time is over, and no longer.
func TestCache(t *testing.T) {
	const soa = "test. %d IN SOA a. b. 1 2 3 4 %d"
	for _, c := range []struct {
		name   string
		soa    string
		answer []string
		want   time.Duration
	}{
		{"x.test", "", []string{"@ 60 IN MX 1 a.test."}, time.Minute},
		{"x.test", "", []string{"@ 60 IN MX 1 a.test.", "@ 50 IN MX 2 b.test."}, 50 * time.Second},
		{"x.test", "", []string{"@ 20 IN CNAME y.test.", "y.test. 60 IN MX 2 b.test."}, 20 * time.Second},
		{"x.test", "", []string{"@ 864000 IN MX 1 a.test."}, time.Hour},
		{"x.test", "", []string{"@ 0 IN MX 1 a.test."}, 0},
		{"x.test", "", []string{"@ 2147483648 IN MX 1 a.test."}, 0},
		{"no.test", fmt.Sprintf(soa, 300, 70), nil, 70 * time.Second},
		{"no.test", fmt.Sprintf(soa, 40, 70), nil, 40 * time.Second},
		{"no.test", fmt.Sprintf(soa, 86400, 86400), nil, 15 * time.Minute},
		{"no.test", "", nil, 0}, // without SOA: RFC 2308, section 5
		{"nodata.test", fmt.Sprintf(soa, 300, 70), nil, 70 * time.Second},
		{"dangling.test", "", []string{"@ 20 IN CNAME y.test."}, 0},
		{"soft.test", "", nil, 0},
	} {
		count := new(counted)
		r := count.serve(t, c.soa, c.answer...)
		first, firstErr := r.MX(context.Background(), c.name)
		again := func() {
			t.Helper()
			list, err := r.MX(context.Background(), strings.ToUpper(c.name[:1])+c.name[1:])
			if len(list) != len(first) || (err == nil) != (firstErr == nil) || resolve.IsSoft(err) != resolve.IsSoft(firstErr) {
				t.Errorf("%s %s: %v, %v at first, then %v, %v", c.name, c.answer, first, firstErr, list, err)
			}
		}
		want := 1
		if c.want > 0 {
			count.pass(c.want - time.Second)
			again()
			if got := count.total(); got != 1 {
				t.Errorf("%s %s %s: asked %d times before its time was over", c.name, c.answer, c.soa, got)
			}
			count.pass(time.Second)
		}
		again()
		if got := count.total(); got != want+1 {
			t.Errorf("%s %s %s: asked %d times in all, want %d", c.name, c.answer, c.soa, got, want+1)
		}
	}
}

// A question that many have at one time is asked once, even if its answer may not be
// kept.
func TestCacheOnce(t *testing.T) {
	count := &counted{hold: make(chan struct{})}
	r := count.serve(t, "", "@ 60 IN MX 1 a.test.")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if list, err := r.MX(context.Background(), "x.test"); len(list) != 1 || err != nil {
				t.Errorf("MX = %v, %v", list, err)
			}
		})
	}
	for count.total() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // for most of the others to come; who is later finds the answer kept
	close(count.hold)
	all.Wait()
	if got := count.total(); got > 3 {
		t.Errorf("asked %d times, want once or little more", got)
	}
}

// The names of strangers cannot fill the memory.
func TestCacheBounds(t *testing.T) {
	count := new(counted)
	r := count.serve(t, "", "@ 60 IN MX 1 a.test.")
	for i := range 12_000 {
		if _, err := r.MX(context.Background(), fmt.Sprintf("x%d.test", i)); err != nil {
			t.Fatal(err)
		}
	}
	if entries, bytes := r.Cache.Size(); entries > 10_000 || bytes <= 0 || bytes > 4<<20 {
		t.Errorf("%d entries of %d bytes are kept", entries, bytes)
	}
	count.pass(time.Hour)
	var e *resolve.Error
	if _, err := r.MX(context.Background(), "soft.test"); !errors.As(err, &e) || e.Kind != resolve.Soft || e.Name != "soft.test" {
		t.Errorf("error %v", err)
	}
}
