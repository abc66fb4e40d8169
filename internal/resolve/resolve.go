// Package resolve asks the DNS where mail for a domain goes, and what lists of hosts
// say. See spec "Remote delivery", section 5, and "Network", A4.
//
// It speaks to the name servers of resolv.conf itself, without a search list and
// without /etc/hosts: a domain in an envelope is complete as it stands. What the
// DNS says decides between delivery, delay and bounce, so every failure has a
// Kind, and only an answer that could be read to its end and denies that the name
// or its records exist is final. Silence, refusal and nonsense are Soft.
//
// Answers are written by strangers. They must repeat the number and the question,
// at most 64 KiB of one is read, and lists are cut at MaxMX and MaxAddrs. Names
// come back in the notation of zone files (a dot inside a label is \.), without
// the last dot, and can be asked about as they are.
package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Bounds on what is taken from one answer. Both are far beyond what anybody
// publishes in earnest.
const (
	MaxMX    = 64
	MaxAddrs = 64
)

// maxAliases bounds the chain of CNAME records followed inside one answer.
const maxAliases = 16

// Kind is what a failure means to mail.
type Kind int

const (
	Soft   Kind = iota // ask again later
	NoName             // there is no such name, or it can be nobody's
	NoData             // the name exists and has no such record
)

// Error is a question without a usable answer.
type Error struct {
	Kind Kind
	Name string
	Type string // "MX", "A", "AAAA", "TXT"
	Err  error  // the cause, if there is one beyond Kind
}

func (e *Error) Error() string {
	what := [...]string{Soft: "temporary failure", NoName: "no such name", NoData: "no such record"}[e.Kind]
	if e.Err != nil {
		return fmt.Sprintf("look up %s of %q: %s: %v", e.Type, e.Name, what, e.Err)
	}
	return fmt.Sprintf("look up %s of %q: %s", e.Type, e.Name, what)
}

func (e *Error) Unwrap() error { return e.Err }

// IsSoft reports whether err may pass by itself: every error of this package that
// is not a denial, and every error of somebody else.
func IsSoft(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind == Soft
	}
	return err != nil
}

// MX is one mail exchanger. Host is empty in a null MX (RFC 7505).
type MX struct {
	Pref uint16
	Host string
}

// MX returns the mail exchangers of name, best first and in random order among
// equals. The list is empty without an error if the answer was something else,
// such as an alias that leads nowhere.
func (r *Resolver) MX(ctx context.Context, name string) ([]MX, error) {
	records, err := r.query(ctx, name, dns.TypeMX)
	if err != nil {
		return nil, err
	}
	var list []MX
	for _, rr := range records {
		if mx, ok := rr.(*dns.MX); ok {
			list = append(list, MX{mx.Preference, strings.TrimSuffix(mx.Mx, ".")})
		}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	slices.SortStableFunc(list, func(a, b MX) int { return cmp.Compare(a.Pref, b.Pref) })
	return list[:min(len(list), MaxMX)], nil
}

// Addrs returns the addresses of name, IPv6 before IPv4. The list is empty without
// an error if there was an answer but no address in it.
//
// Differs from qmail: AAAA records count as A records do. What one of the two
// questions finds is used even if the other one fails; only when both find
// nothing does the softer failure decide.
func (r *Resolver) Addrs(ctx context.Context, name string) ([]netip.Addr, error) {
	v4, err4 := r.addrs(ctx, name, dns.TypeA)
	var e *Error
	if errors.As(err4, &e) && e.Kind == NoName {
		return nil, err4 // a name that is not there has no other records either
	}
	v6, err6 := r.addrs(ctx, name, dns.TypeAAAA)
	switch {
	case len(v4)+len(v6) > 0:
		return append(v6, v4...), nil
	case err4 != nil && IsSoft(err4):
		return nil, err4
	case err6 != nil && IsSoft(err6):
		return nil, err6
	case err4 != nil && err6 != nil:
		return nil, err4
	}
	return nil, nil
}

// A returns the IPv4 addresses of name, as a list that answers by addresses has them
// for whoever is on it.
func (r *Resolver) A(ctx context.Context, name string) ([]netip.Addr, error) {
	return r.addrs(ctx, name, dns.TypeA)
}

// TXT returns the text of name: the strings of all its records, one after the other. It
// has whatever bytes somebody has put there, and is empty without an error if there was
// an answer but no text in it.
func (r *Resolver) TXT(ctx context.Context, name string) (string, error) {
	records, err := r.query(ctx, name, dns.TypeTXT)
	var text strings.Builder
	for _, rr := range records {
		if t, ok := rr.(*dns.TXT); ok {
			for _, s := range t.Txt {
				text.WriteString(unescape(s))
			}
		}
	}
	return text.String(), err
}

// unescape takes back the way in which the library writes bytes of a string: a
// backslash before it, or before its three digits.
func unescape(s string) string {
	var out []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			c = s[i]
			if n, err := strconv.ParseUint(s[i:min(i+3, len(s))], 10, 8); err == nil && i+3 <= len(s) {
				c = byte(n)
				i += 2
			}
		}
		out = append(out, c)
	}
	return string(out)
}

func (r *Resolver) addrs(ctx context.Context, name string, qtype uint16) ([]netip.Addr, error) {
	records, err := r.query(ctx, name, qtype)
	var list []netip.Addr
	for _, rr := range records {
		if a, ok := address(rr); ok && len(list) < MaxAddrs {
			list = append(list, a)
		}
	}
	return list, err
}

// address returns the address in an A or AAAA record.
func address(rr dns.RR) (a netip.Addr, ok bool) {
	switch rr := rr.(type) {
	case *dns.A:
		a, ok = netip.AddrFromSlice(rr.A)
	case *dns.AAAA:
		a, ok = netip.AddrFromSlice(rr.AAAA)
	}
	return a.Unmap(), ok
}

// query returns the records that answer the question, at least one record of
// whatever type having been in the answer.
func (r *Resolver) query(ctx context.Context, name string, qtype uint16) ([]dns.RR, error) {
	fail := func(kind Kind, cause error) ([]dns.RR, error) {
		return nil, &Error{kind, name, dns.TypeToString[qtype], cause}
	}
	q, err := newQuestion(name, qtype)
	if err != nil {
		return fail(NoName, err)
	}
	ask := func() answer { return r.answer(ctx, q) }
	var a answer
	if r.Cache == nil {
		a = ask()
	} else {
		a = r.Cache.find(topic{q.name, qtype}, ask)
	}
	if a.denied || a.err != nil {
		return fail(a.kind, a.err)
	}
	return a.records, nil
}

// answer asks the question and says what came of it.
func (r *Resolver) answer(ctx context.Context, q question) answer {
	reply, err := r.ask(ctx, q)
	if err != nil {
		return answer{kind: Soft, err: err}
	}
	a := answer{bytes: reply.Len()}
	switch {
	case reply.Rcode == dns.RcodeNameError:
		a.kind, a.denied = NoName, true
	case len(reply.Answer) == 0:
		a.kind, a.denied = NoData, true
	default:
		if a.records, err = q.answers(reply); err != nil {
			return answer{kind: Soft, err: err}
		}
	}
	a.ttl = lifetime(reply, a.records)
	return a
}
