// Package peer finds out who is at the two ends of a connection: names, by DNS, and the
// user at the other end, by ident. See spec "Network", A1, and RFC 1413.
//
// Both answers are a stranger's. They are bounded in length and time, and cleaned of
// every byte that could be mistaken for something else in a rule, a header or a log.
package peer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"quail/internal/prog"
	"quail/internal/ucspi"
)

// Resolver asks the name servers. It has no cache: that is their business.
//
// Differs from qmail: the Go resolver follows nsswitch.conf, so that /etc/hosts
// counts too, and it qualifies a host operand by resolv.conf alone. Names that no
// host may have are no names; the original shows them escaped.
type Resolver struct {
	net *net.Resolver
	// Port is that of the servers in $DNSCACHEIP: 53, but for tests.
	Port uint16
}

// patience is how long one question may take in all.
const patience = 60 * time.Second

// NewResolver returns a resolver that asks the servers in $DNSCACHEIP, or where
// there are none those of resolv.conf.
func NewResolver(env prog.Env) *Resolver {
	r := &Resolver{net: &net.Resolver{PreferGo: true}, Port: 53}
	if servers := Servers(env); len(servers) > 0 {
		var next atomic.Uint32
		r.net.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			// Each attempt goes to another one.
			server := servers[int(next.Add(1)-1)%len(servers)]
			return (&net.Dialer{}).DialContext(ctx, network, netip.AddrPortFrom(server, r.Port).String())
		}
	}
	return r
}

// Servers returns the name servers in $DNSCACHEIP: at most 16 dotted quads, separated by
// dots.
func Servers(env prog.Env) []netip.Addr {
	var servers []netip.Addr
	parts := strings.FieldsFunc(env.Get("DNSCACHEIP"), func(r rune) bool { return r == '.' })
	for ; len(parts) >= 4 && len(servers) < 16; parts = parts[4:] {
		ip, err := netip.ParseAddr(strings.Join(parts[:4], "."))
		if err != nil {
			break
		}
		servers = append(servers, ip)
	}
	return servers
}

// Addresses returns the addresses that the operand host means, at least one: itself, or
// those of a name, the ones first that a connection should be tried to first (RFC 6724).
func (r *Resolver) Addresses(host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		return []netip.Addr{ip.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ips, err := r.net.LookupNetIP(ctx, "ip", host)
	if err != nil && !unknown(err) {
		return nil, prog.Fail("temporarily unable to figure out IP address for "+host, cause(err))
	}
	if len(ips) == 0 {
		return nil, errors.New("no IP address for " + host)
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	return ips, nil
}

// unknown reports whether err is an answer, namely that there is no such name.
func unknown(err error) bool {
	var e *net.DNSError
	if errors.As(err, &e) {
		return e.IsNotFound
	}
	var a *net.AddrError // a host name without an address of that family
	return errors.As(err, &a)
}

// cause is what err says beyond the name and the server that were asked.
func cause(err error) error {
	var e *net.DNSError
	switch {
	case !errors.As(err, &e):
		return err
	case e.IsTimeout:
		return syscall.ETIMEDOUT
	}
	return errors.New(e.Err)
}

// Name returns the name of ip, if it has one. An error says that this could not be found
// out for now.
func (r *Resolver) Name(ip netip.Addr) (ucspi.Value, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// Beside an error there may be names: those that are fit to be one.
	names, err := r.net.LookupAddr(ctx, ip.String())
	var e *net.DNSError
	if len(names) == 0 && errors.As(err, &e) && (e.IsTimeout || e.IsTemporary) {
		return ucspi.Value{}, err
	}
	if len(names) == 0 || names[0] == "." {
		return ucspi.Value{}, nil
	}
	return ucspi.Known(cleanName(names[0])), nil
}

// Confirms reports whether ip is among the addresses of name.
func (r *Resolver) Confirms(name string, ip netip.Addr) bool {
	network := "ip4"
	if ip.Is6() {
		network = "ip6"
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if strings.Contains(name, ".") {
		name += "." // it is complete
	}
	ips, _ := r.net.LookupNetIP(ctx, network, name)
	for _, i := range ips {
		if i.Unmap() == ip.Unmap() {
			return true
		}
	}
	return false
}

// longestName is that of DNS.
const longestName = 255

// cleanName returns a name from DNS in lower case, without the dot at its end,
// and with every byte that is not usual in host names as \ooo. Nothing in it can
// be mistaken for something else in a rule, a header or a log.
func cleanName(name string) string {
	if len(name) > longestName {
		name = name[:longestName]
	}
	var b strings.Builder
	for _, c := range []byte(strings.TrimSuffix(name, ".")) {
		switch {
		case 'A' <= c && c <= 'Z':
			b.WriteByte(c - 'A' + 'a')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			b.WriteByte(c)
		default:
			b.Write([]byte{'\\', '0' + c>>6, '0' + c>>3&7, '0' + c&7})
		}
	}
	return b.String()
}

// Port returns the port that s names: a number, or a service.
//
// Differs from qmail: a number above 65535 is an error, it does not wrap.
func Port(s string) (uint16, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err == nil {
		return uint16(n), nil
	}
	// What begins otherwise is no service, though net might take it for a number.
	c := s[0] | 0x20
	service := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
	if service && !errors.Is(err, strconv.ErrRange) {
		if n, err := net.LookupPort("tcp", s); err == nil {
			return uint16(n), nil
		}
	}
	return 0, errors.New("unable to figure out port number for " + s)
}
