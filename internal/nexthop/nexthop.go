// Package nexthop decides which addresses mail for a host is taken to: by
// control/smtproutes, by the host's MX records, and by what this host is itself.
// See spec "Remote delivery", sections 3 to 6.
//
// qmail-remote delivers by it, qmail-explain tells of it. The host stands in an
// envelope and the records are published by whoever owns the name: both are a
// stranger's, who can neither make a delivery try more than maxCandidates addresses
// nor lead this host's mail back to itself.
package nexthop

import (
	"context"
	"net/netip"
	"strings"

	"quail/internal/control"
	"quail/internal/localaddr"
	"quail/internal/mailaddr"
	"quail/internal/resolve"
)

// Target is where a delivery is to go: a host to be looked up, or a relay.
type Target struct {
	Host    string
	Port    uint16
	Relayed bool   // by control/smtproutes: no MX records, and even to myself
	User    string // to log in there as; "" for nobody
	TLS     Policy // for whoever has looked that up, see Policies
}

// Key returns what is the same for all spellings of a target.
func (t Target) Key() Target {
	t.Host = mailaddr.Lower(t.Host)
	return t
}

// Rule is what in control/smtproutes decided: the line with that Key, if Found. A line
// without a relay is an exception from the lines after it.
type Rule struct {
	Found bool
	Key   string
	Relay string // what stands after the key's colon
}

// Route looks host up in routes, which is control/smtproutes: itself, then each
// ending of it that begins with a dot, then the empty name. port is where mail goes
// unless a route says otherwise.
func Route(routes control.Map, host string, port uint16) (Target, Rule) {
	for _, key := range append(mailaddr.Suffixes(host), "") {
		route, ok := routes.Lookup(key)
		if !ok {
			continue
		}
		rule := Rule{true, key, route}
		if route == "" {
			return Target{Host: host, Port: port}, rule
		}
		relay, digits, hasPort := cutPort(route)
		t := Target{Host: relay, Port: port, Relayed: true}
		if hasPort {
			// As the original's scanner does: no digits are 0, and of a number that
			// does not fit the low bits count.
			n, length := scan(digits)
			t.Port, t.User = uint16(n), user(digits[length:])
		}
		return t, rule
	}
	return Target{Host: host, Port: port}, Rule{}
}

// user reads what stands behind the number of a port: blanks and the name of a user.
//
// Differs from qmail: there it is not read at all, so people may have written comments
// there.
func user(s string) string {
	name := strings.TrimLeft(s, " \t")
	if name == s || strings.HasPrefix(name, "#") {
		return ""
	}
	return name
}

// cutPort divides RELAY:PORT.
//
// Differs from qmail: an IPv6 address in brackets may be a relay.
func cutPort(route string) (relay, digits string, hasPort bool) {
	if end := strings.IndexByte(route, ']'); end > 0 && route[0] == '[' {
		digits, hasPort = strings.CutPrefix(route[end+1:], ":")
		if hasPort || end+1 == len(route) {
			return route[:end+1], digits, hasPort
		}
	}
	return strings.Cut(route, ":")
}

// scan reads the digits that s begins with, wrapping around.
func scan(s string) (n uint64, digits int) {
	for digits < len(s) && '0' <= s[digits] && s[digits] <= '9' {
		n = n*10 + uint64(s[digits]-'0')
		digits++
	}
	return n, digits
}

// literal reads a host that is an address: a dotted quad, bare or in brackets, of
// whose numbers the low eight bits count.
//
// Differs from qmail: so are [IPv6:ADDRESS] (RFC 5321, 4.1.3) and [ADDRESS].
func literal(host string) (netip.Addr, bool) {
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		if inner, bracketed = strings.CutSuffix(inner, "]"); !bracketed {
			return netip.Addr{}, false
		}
	}
	if quad, ok := dottedQuad(inner); ok || !bracketed {
		return quad, ok
	}
	if len(inner) > 5 && mailaddr.Lower(inner[:5]) == "ipv6:" {
		inner = inner[5:]
	}
	a, err := netip.ParseAddr(inner)
	if err != nil || !a.Is6() || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

func dottedQuad(s string) (netip.Addr, bool) {
	var quad [4]byte
	for i := range quad {
		n, digits := scan(s)
		if digits == 0 {
			return netip.Addr{}, false
		}
		quad[i], s = byte(n), s[digits:]
		if i < 3 {
			if s == "" || s[0] != '.' {
				return netip.Addr{}, false
			}
			s = s[1:]
		}
	}
	return netip.AddrFrom4(quad), s == ""
}

// Candidate is an address that the mail may be taken to. Addresses of one preference
// are equally good.
type Candidate struct {
	Addr netip.Addr
	Pref int
	Name string // of the mail exchanger or relay that has the address
}

// maxCandidates bounds how many addresses one delivery tries, and so how long
// somebody's DNS records can keep it busy.
const maxCandidates = 100

// Failure is why there is no address to try: an error in the words of qmail-remote's
// report.
type Failure struct {
	Permanent bool
	Text      string // lines, the last one without its line feed
}

func (f *Failure) Error() string { return f.Text }

// The failures that need no host to be named.
var (
	ErrSystem    = &Failure{false, "System resources temporarily unavailable. (#4.3.0)"}
	ErrDNS       = &Failure{false, "Sorry, I couldn't find any host by that name. (#4.1.2)"}
	ErrNoAddress = &Failure{true, "Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4)"}
	ErrMe        = &Failure{true, "Sorry. Although I'm listed as a best-preference MX or A for that host,\n" +
		"it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)"}
)

// noHost says that there is no such host.
func noHost(host string) *Failure {
	return &Failure{true, "Sorry, I couldn't find any host named " + printable(host) + ". (#5.1.2)"}
}

// printable shows a host name from an envelope in a report.
func printable(host string) string {
	b := []byte(host)
	for i, c := range b {
		if c < 33 || c > 126 {
			b[i] = '?'
		}
	}
	return string(b)
}

// Way is what has been found out about a target.
type Way struct {
	// Exchangers are its MX records, best first; none where the target is a relay or
	// an address, or has no such record: then Candidates are its own.
	Exchangers []Exchanger
	Candidates []Candidate // to be tried, in this order
	Mine       []Candidate // of all that were found, those that are this host
	PassedOver []Candidate // no better than Mine, or too many
}

// Exchanger is one MX record and its addresses, or why there are none.
type Exchanger struct {
	resolve.MX
	Addrs []netip.Addr
	Err   error
}

// Finder finds addresses.
type Finder struct {
	Resolver *resolve.Resolver
	Local    func() (localaddr.Set, error) // this host's own addresses
}

// Find returns the way to a target, which has candidates unless there is a Failure.
func (f Finder) Find(ctx context.Context, t Target) (w Way, failure *Failure) {
	if t.Relayed {
		failure = f.addresses(ctx, &w, t.Host)
	} else {
		failure = f.exchangers(ctx, &w, t.Host)
	}
	if failure == nil && len(w.Candidates) == 0 {
		failure = ErrNoAddress
	}
	if failure == nil && !t.Relayed {
		failure = f.beforeMe(&w)
	}
	if failure != nil {
		w.Candidates = nil
		return w, failure
	}
	if len(w.Candidates) > maxCandidates {
		w.PassedOver = append(w.PassedOver, w.Candidates[maxCandidates:]...)
		w.Candidates = w.Candidates[:maxCandidates]
	}
	return w, nil
}

// exchangers looks up the mail exchangers of host, or host itself if it has none.
func (f Finder) exchangers(ctx context.Context, w *Way, host string) *Failure {
	if a, ok := literal(host); ok {
		w.Candidates = []Candidate{{a, 0, a.String()}}
		return nil
	}
	records, err := f.Resolver.MX(ctx, host)
	if err != nil && resolve.IsSoft(err) {
		return ErrDNS
	}
	if len(records) == 0 {
		return f.addresses(ctx, w, host)
	}
	soft := false
	for _, mx := range records {
		e := Exchanger{MX: mx}
		pref, name := int(mx.Pref), mx.Host
		if a, ok := literal(mx.Host); ok {
			e.Addrs, pref, name = []netip.Addr{a}, 0, a.String()
		} else if mx.Host != "" { // else a null MX: no mail here
			e.Addrs, e.Err = f.Resolver.Addrs(ctx, mx.Host)
			soft = soft || e.Err != nil && resolve.IsSoft(e.Err)
		}
		w.Exchangers = append(w.Exchangers, e)
		for _, a := range e.Addrs {
			w.Candidates = append(w.Candidates, Candidate{a, pref, name})
		}
	}
	if soft && len(w.Candidates) == 0 {
		return ErrDNS
	}
	return nil
}

// addresses looks up host itself.
func (f Finder) addresses(ctx context.Context, w *Way, host string) *Failure {
	if a, ok := literal(host); ok {
		w.Candidates = []Candidate{{a, 0, a.String()}}
		return nil
	}
	addrs, err := f.Resolver.Addrs(ctx, host)
	if err != nil {
		if resolve.IsSoft(err) {
			return ErrDNS
		}
		return noHost(host)
	}
	for _, a := range addrs {
		w.Candidates = append(w.Candidates, Candidate{a, 0, host})
	}
	return nil
}

// beforeMe keeps the addresses that are better than the best one that is this
// host: mail that it cannot deliver itself may only go up, never in circles.
func (f Finder) beforeMe(w *Way) *Failure {
	local, err := f.Local()
	if err != nil {
		return ErrSystem
	}
	const none = 1 << 16 // above every preference
	me := none
	for _, c := range w.Candidates {
		if local.Has(c.Addr) {
			w.Mine = append(w.Mine, c)
			me = min(me, c.Pref)
		}
	}
	var better []Candidate
	for _, c := range w.Candidates {
		if c.Pref < me {
			better = append(better, c)
		} else {
			w.PassedOver = append(w.PassedOver, c)
		}
	}
	if w.Candidates = better; len(better) == 0 {
		return ErrMe
	}
	return nil
}
