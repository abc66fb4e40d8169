// Package localaddr lists the addresses by which this host is reached, so that a
// program can tell "me" from somebody else: qmail-remote, which must not send
// mail to itself, qmail-smtpd and ipmeprint. See spec "Remote delivery", section 6.
//
// The list is that of the moment. A program that lives for one message asks once;
// one that lives longer has to ask again. Addresses are without zone, and IPv4 is
// never written as IPv6, so that two forms of one address compare as equal.
package localaddr

import (
	"fmt"
	"net"
	"net/netip"
)

// List returns the unspecified addresses 0.0.0.0 and ::, which connect to this
// host itself, and the addresses of every interface that is up.
//
// Differs from qmail: IPv6 addresses are listed too.
func List() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	list := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("list addresses of %s: %w", i.Name, err)
		}
		for _, a := range addrs {
			if ipnet, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(ipnet.IP); ok {
					list = append(list, canonical(ip))
				}
			}
		}
	}
	return list, nil
}

// Set is a set of addresses.
type Set map[netip.Addr]bool

// NewSet makes a set of addrs.
func NewSet(addrs []netip.Addr) Set {
	s := make(Set, len(addrs))
	for _, a := range addrs {
		s[canonical(a)] = true
	}
	return s
}

// Local returns the List as a set.
func Local() (Set, error) {
	list, err := List()
	return NewSet(list), err
}

// Has reports whether addr, in whatever form, is in the set.
func (s Set) Has(addr netip.Addr) bool { return s[canonical(addr)] }

func canonical(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
