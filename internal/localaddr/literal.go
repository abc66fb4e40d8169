package localaddr

import (
	"net/netip"
	"strings"

	"quail/internal/mailaddr"
)

// AtHome returns address with host in place of its domain if that is an IP address in
// brackets, and one of local's, which is asked only then: what qmail-smtpd makes of a
// recipient with control/localiphost. See spec "Receiving mail", section 3.
func AtHome(address, host string, local func() (Set, error)) (string, error) {
	ip, ok := literal(address)
	if !ok {
		return address, nil
	}
	mine, err := local()
	if err != nil || !mine.Has(ip) {
		return address, err
	}
	box, _, _ := mailaddr.Split(address)
	return box + "@" + host, nil
}

// literal returns the IP address that stands, in brackets, for the domain of
// address. An IPv6 address has IPv6: before it, RFC 5321 section 4.1.3.
//
// Differs from qmail: it must be written as RFC 5321 has it. qmail takes numbers
// above 255 too, modulo 256.
func literal(address string) (ip netip.Addr, ok bool) {
	_, domain, _ := mailaddr.Split(address)
	text, opened := strings.CutPrefix(domain, "[")
	text, closed := strings.CutSuffix(text, "]")
	if !opened || !closed {
		return netip.Addr{}, false
	}
	const tag = "ipv6:"
	tagged := len(text) > len(tag) && mailaddr.Lower(text[:len(tag)]) == tag
	if tagged {
		text = text[len(tag):]
	}
	ip, err := netip.ParseAddr(text)
	return ip, err == nil && tagged == ip.Is6() && ip.Zone() == ""
}
