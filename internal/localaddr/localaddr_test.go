package localaddr

import (
	"net/netip"
	"testing"
)

func TestLocal(t *testing.T) {
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.Zone() != "" || a.Is4In6() {
			t.Errorf("List has %s, want it without zone and unmapped", a)
		}
	}
	local, err := Local()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr string
		want bool
	}{
		{"0.0.0.0", true},
		{"::", true},
		{"127.0.0.1", true}, // the loopback interface is up wherever tests run
		{"::ffff:127.0.0.1", true},
		{"192.0.2.1", false}, // RFC 5737: nobody's
		{"2001:db8::1", false},
	} {
		if got := local.Has(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("Has(%s) = %v, want %v", c.addr, got, c.want)
		}
	}
	if local.Has(netip.Addr{}) {
		t.Error("Has the zero address")
	}
}

func TestSet(t *testing.T) {
	s := NewSet([]netip.Addr{netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("::ffff:10.0.0.1")})
	for _, a := range []string{"fe80::1", "fe80::1%eth9", "10.0.0.1", "::ffff:10.0.0.1"} {
		if !s.Has(netip.MustParseAddr(a)) {
			t.Errorf("set has no %s", a)
		}
	}
}
