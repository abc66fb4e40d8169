package localaddr

import (
	"errors"
	"net/netip"
	"testing"
)

func TestLiteral(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"a@[127.0.0.1]", "127.0.0.1"},
		{"a@b@[10.0.0.1]", "10.0.0.1"},
		{"a@[IPv6:::1]", "::1"},
		{"a@[ipv6:2001:db8::1]", "2001:db8::1"},
		{"a@[::1]", ""},
		{"a@[IPv6:127.0.0.1]", ""},
		{"a@[IPv6:fe80::1%eth0]", ""},
		{"a@[IPv6:]", ""},
		{"a@[127.0.0.1]@b", ""},
		{"a@[127.0.0.1", ""},
		{"a@127.0.0.1", ""},
		{"a@[]", ""},
		{"a@[", ""},
		{"a@]", ""},
		{"[127.0.0.1]", ""},
		{"", ""},
	} {
		ip, ok := literal(c.address)
		got := ""
		if ok {
			got = ip.String()
		}
		if got != c.want {
			t.Errorf("literal(%q) = %q, want %q", c.address, got, c.want)
		}
	}
}

func TestAtHome(t *testing.T) {
	local := func() (Set, error) { return NewSet([]netip.Addr{netip.MustParseAddr("192.0.2.1")}), nil }
	for address, want := range map[string]string{
		"a@b@[192.0.2.1]": "a@b@me.example",
		"a@[192.0.2.2]":   "a@[192.0.2.2]",
		"a@192.0.2.1":     "a@192.0.2.1",
		"a":               "a",
	} {
		if got, err := AtHome(address, "me.example", local); got != want || err != nil {
			t.Errorf("AtHome(%q) = %q, %v, want %q", address, got, err, want)
		}
	}
	failing := func() (Set, error) { return nil, errors.New("no") }
	if _, err := AtHome("a@[192.0.2.1]", "me.example", failing); err == nil {
		t.Error("not knowing this host's addresses is no error")
	}
	if _, err := AtHome("a@b", "me.example", failing); err != nil {
		t.Errorf("asked for this host's addresses without need: %v", err)
	}
}
