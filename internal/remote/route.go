package remote

import (
	"context"
	"net/netip"
	"strings"

	"quail/internal/mailaddr"
	"quail/internal/resolve"
)

// target is where a delivery is to go: a host to be looked up, or a relay.
type target struct {
	host    string
	port    uint16
	relayed bool // by control/smtproutes: no MX records, and even to myself
}

// route looks host up in control/smtproutes: itself, then each ending of it that
// begins with a dot, then the empty name. A route without a relay is an exception
// from the routes after it.
func (c *controls) route(host string, port uint16) target {
	for _, key := range append(mailaddr.Suffixes(host), "") {
		route, ok := c.routes.Lookup(key)
		if !ok {
			continue
		}
		if route == "" {
			break
		}
		relay, digits, hasPort := cutPort(route)
		if hasPort {
			// As the original's scanner does: no digits are 0, and of a number that
			// does not fit the low bits count.
			n, _ := scan(digits)
			port = uint16(n)
		}
		return target{relay, port, true}
	}
	return target{host, port, false}
}

// cutPort divides RELAY:PORT.
//
// Differs from qmail: an IPv6 address in brackets may be a relay.
func cutPort(route string) (relay, digits string, hasPort bool) {
	if end := strings.IndexByte(route, ']'); route[0] == '[' && end > 0 {
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

// candidate is an address that the mail may be taken to.
type candidate struct {
	addr netip.Addr
	pref int
}

// maxCandidates bounds how many addresses one delivery tries, and so how long
// somebody's DNS records can keep it busy.
const maxCandidates = 100

// find returns the addresses to try, best first.
func (r *Remote) find(ctx context.Context, t target) ([]candidate, verdict) {
	var list []candidate
	var v verdict
	if t.relayed {
		list, v = r.addresses(ctx, t.host)
	} else {
		list, v = r.exchangers(ctx, t.host)
	}
	if v == "" && len(list) == 0 {
		v = noAddress
	}
	if v != "" {
		return nil, v
	}
	if !t.relayed {
		if list, v = r.beforeMe(list); v != "" {
			return nil, v
		}
	}
	return list[:min(len(list), maxCandidates)], ""
}

// exchangers looks up the mail exchangers of host, or host itself if it has none.
func (r *Remote) exchangers(ctx context.Context, host string) ([]candidate, verdict) {
	if a, ok := literal(host); ok {
		return []candidate{{a, 0}}, ""
	}
	records, err := r.Resolver.MX(ctx, host)
	if err != nil && resolve.IsSoft(err) {
		return nil, softDNS
	}
	if len(records) == 0 {
		return r.addresses(ctx, host)
	}
	var list []candidate
	soft := false
	for _, mx := range records {
		if a, ok := literal(mx.Host); ok {
			list = append(list, candidate{a, 0})
			continue
		}
		if mx.Host == "" { // a null MX: no mail here
			continue
		}
		addrs, err := r.Resolver.Addrs(ctx, mx.Host)
		if err != nil && resolve.IsSoft(err) {
			soft = true
		}
		for _, a := range addrs {
			list = append(list, candidate{a, int(mx.Pref)})
		}
	}
	if soft && len(list) == 0 {
		return nil, softDNS
	}
	return list, ""
}

// addresses looks up host itself.
func (r *Remote) addresses(ctx context.Context, host string) ([]candidate, verdict) {
	if a, ok := literal(host); ok {
		return []candidate{{a, 0}}, ""
	}
	addrs, err := r.Resolver.Addrs(ctx, host)
	if err != nil {
		if resolve.IsSoft(err) {
			return nil, softDNS
		}
		return nil, verdict("DSorry, I couldn't find any host named " + printable(host) + ". (#5.1.2)\n")
	}
	var list []candidate
	for _, a := range addrs {
		list = append(list, candidate{a, 0})
	}
	return list, ""
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

// beforeMe keeps the addresses that are better than the best one that is this
// host: mail that it cannot deliver itself may only go up, never in circles.
func (r *Remote) beforeMe(list []candidate) ([]candidate, verdict) {
	local, err := r.Local()
	if err != nil {
		return nil, noSystem
	}
	const none = 1 << 16 // above every preference
	me := none
	for _, c := range list {
		if local.Has(c.addr) {
			me = min(me, c.pref)
		}
	}
	var better []candidate
	for _, c := range list {
		if c.pref < me {
			better = append(better, c)
		}
	}
	if len(better) == 0 {
		return nil, itsMe
	}
	return better, ""
}
