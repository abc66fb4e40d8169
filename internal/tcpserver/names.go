package tcpserver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"quail/internal/prog"
	"quail/internal/ucspi"
)

// resolver asks the name servers. It has no cache: that is their business.
//
// Differs from qmail: the Go resolver follows nsswitch.conf, so that /etc/hosts
// counts too, and it qualifies a host operand by resolv.conf alone. Names that no
// host may have are no names; the original shows them escaped.
type resolver struct {
	net  *net.Resolver
	port uint16 // of the servers in $DNSCACHEIP
}

// patience is how long one question may take in all.
const patience = 60 * time.Second

// newResolver returns a resolver that asks the servers in $DNSCACHEIP, or where
// there are none those of resolv.conf.
func newResolver(env prog.Env) *resolver {
	r := &resolver{net: &net.Resolver{PreferGo: true}, port: 53}
	if servers := dnsServers(env.Get("DNSCACHEIP")); len(servers) > 0 {
		var next atomic.Uint32
		r.net.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			// Each attempt goes to another one.
			server := servers[int(next.Add(1)-1)%len(servers)]
			return (&net.Dialer{}).DialContext(ctx, network, netip.AddrPortFrom(server, r.port).String())
		}
	}
	return r
}

// dnsServers reads $DNSCACHEIP: at most 16 dotted quads, separated by dots.
func dnsServers(s string) []netip.Addr {
	var servers []netip.Addr
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '.' })
	for ; len(parts) >= 4 && len(servers) < 16; parts = parts[4:] {
		ip, err := netip.ParseAddr(strings.Join(parts[:4], "."))
		if err != nil {
			break
		}
		servers = append(servers, ip)
	}
	return servers
}

// address returns the address that the operand host means: itself, or that of a
// name, where IPv4 comes first.
func (r *resolver) address(host string) (netip.Addr, error) {
	if host == "" || host == "0" {
		return netip.IPv4Unspecified(), nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		return ip.Unmap(), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, network := range []string{"ip4", "ip6"} {
		ips, err := r.net.LookupNetIP(ctx, network, host)
		if err == nil && len(ips) > 0 {
			return ips[0].Unmap(), nil
		}
		if err != nil && !unknown(err) {
			return netip.Addr{}, prog.Fail("temporarily unable to figure out IP address for "+host, cause(err))
		}
	}
	return netip.Addr{}, errors.New("no IP address for " + host)
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

// name returns the name of ip, if it has one.
func (r *resolver) name(ip netip.Addr) ucspi.Value {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// Beside an error there may be names: those that are fit to be one.
	names, _ := r.net.LookupAddr(ctx, ip.String())
	if len(names) == 0 || names[0] == "." {
		return ucspi.Value{}
	}
	return ucspi.Known(cleanName(names[0]))
}

// confirms reports whether ip is among the addresses of name.
func (r *resolver) confirms(name string, ip netip.Addr) bool {
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
