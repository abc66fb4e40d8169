package tcprules

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"quail/internal/cdb"
)

func TestNetworkRules(t *testing.T) {
	const d = "D\x00"
	for _, c := range []struct {
		line string
		want [][2]string
	}{
		{"10.0.0.0/9:allow", [][2]string{{"10.0.0.0/9", ""}, {"/4\n", "\x09"}}},
		{"0.0.0.0/0:deny", [][2]string{{"0.0.0.0/0", d}, {"/4\n", "\x00"}}},
		{"1.2.3.4/32:deny", [][2]string{{"1.2.3.4/32", d}, {"/4\n", "\x20"}}},
		{"10.0.0-1.0/24:deny", [][2]string{{"10.0.0.0/24", d}, {"10.0.1.0/24", d}, {"/4\n", "\x18"}}},
		{"2001:db8::/32:deny", [][2]string{{"2001:db8::/32", d}, {"/6\n", "\x20"}}},
		{"2001:0DB8:0::0/32:deny", [][2]string{{"2001:db8::/32", d}, {"/6\n", "\x20"}}},
		{"::/0:deny", [][2]string{{"::/0", d}, {"/6\n", "\x00"}}},
		{"10.0.0.0/8:deny\n::/1:deny\n8000::/1:deny\n1::/128:deny\n11.0.0.0/8:deny\n0.0.0.0/7:deny\n", [][2]string{
			{"10.0.0.0/8", d}, {"::/1", d}, {"8000::/1", d}, {"1::/128", d}, {"11.0.0.0/8", d}, {"0.0.0.0/7", d},
			{"/4\n", "\x08\x07"}, {"/6\n", "\x80\x01"}}},
		// No network, no index.
		{"2001:db8::1:allow", [][2]string{{"2001:db8::1", ""}}},
		{"2001:DB8:0:0::1:allow,A=\":deny\"", [][2]string{{"2001:db8::1", "+A=:deny\x00"}}},
		{":::deny", [][2]string{{"::", d}}},
		{"joe@::1:allow", [][2]string{{"joe@::1", ""}}},
		{"a:deny@b@::0:1:allow", [][2]string{{"a:deny@b@::1", ""}}},
		{"#::1:allow", nil},
		// Those that IPv6 sockets make of IPv4 addresses.
		{"::ffff:1.2.3.4:allow", [][2]string{{"1.2.3.4", ""}}},
		{"joe@::ffff:1.2.3.4:allow", [][2]string{{"joe@1.2.3.4", ""}}},
		{"::ffff:10.0.0.0/105:allow", [][2]string{{"10.0.0.0/9", ""}, {"/4\n", "\x09"}}},
		// As ever: nobody could take these for networks, and the first colon is the one
		// that counts wherever it can be.
		{"x/8:deny", [][2]string{{"x/8", d}}},
		{"/:deny", [][2]string{{"/", d}}},
		{"joe@10.0.0.0/9:deny", [][2]string{{"joe@10.0.0.0/9", d}}},
		{"=a/8:deny", [][2]string{{"=a/8", d}}},
		{"1:allow,A=:x:", [][2]string{{"1", "+A=x\x00"}}},
		{"1:deny,::1=:deny:", [][2]string{{"1", d + "+::1=deny\x00"}}},
	} {
		got, err := rules(c.line)
		want := make([]cdb.Record, len(c.want))
		for i, w := range c.want {
			want[i] = cdb.Record{Key: w[0], Value: w[1]}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Rules(%q) = %q, %v, want %q", c.line, got, err, c.want)
		}
	}
}

func TestNetworkErrors(t *testing.T) {
	for line, reason := range map[string]string{
		"10.1.0.0/9:allow":            "10.1.0.0/9 has bits set behind its length: the network is 10.0.0.0/9",
		"2001:db8::1/32:allow":        "2001:db8::1/32 has bits set behind its length: the network is 2001:db8::/32",
		"::ffff:10.1.0.0/105:deny":    "::ffff:10.1.0.0/105 has bits set behind its length: the network is 10.0.0.0/9",
		"10.0.0-1.0/23:allow":         "10.0.1.0/23 has bits set behind its length: the network is 10.0.0.0/23",
		"10.0.0.0/33:allow":           "10.0.0.0/33 is not a whole address, / and a number of bits",
		"10.0.0.0/:allow":             "10.0.0.0/ is not a whole address, / and a number of bits",
		"10.0.0.0/255.0.0.0:allow":    "10.0.0.0/255.0.0.0 is not a whole address, / and a number of bits",
		"10/8:allow":                  "10/8 is not a whole address, / and a number of bits",
		"010.0.0.0/8:allow":           "010.0.0.0/8 is not a whole address, / and a number of bits",
		"2001:db8::/129:allow,A=\"\"": "2001:db8::/129 is not a whole address, / and a number of bits",
		"2001:db8::/x:deny":           "2001:db8::/x is not a whole address, / and a number of bits",
	} {
		_, err := rules("1:allow\n" + line + "\n2:allow\n")
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || err.Error() != "unable to parse this line: "+line+": "+reason {
			t.Errorf("Rules(%q): %v, want the reason %q", line, err, reason)
		}
	}
}

// compiled makes a database of rules.
func compiled(t testing.TB, text string) *cdb.Reader {
	t.Helper()
	records, err := rules(text)
	if err != nil {
		t.Fatal(err)
	}
	file := database(t, t.TempDir()+"/cdb", records)
	t.Cleanup(func() { file.Close() })
	return file.Reader
}

func TestLookupNetworks(t *testing.T) {
	db := compiled(t, `10.1.2.3:deny
10.1.2.0/24:allow,NET="24"
10.1.2.:allow,NET="dots"
10.1.0.0/20:allow,NET="20"
10.1.:deny
10.0.0.0/9:allow,NET="9"
10.:allow,NET="10."
10.128.0.0/9:deny
10.200.0.7/32:allow,NET="32"
0.0.0.0/1:allow,NET="1"
2001:db8::1:deny
2001:db8::1/128:allow,NET="128"
2001:db8:0:1::/64:allow,NET="64"
2001:db8::/32:deny
fe80::/10:allow,NET="local"
joe@2001:db8::7:allow,NET="joe"
=mx.example.com:deny
=.example.com:allow,NET="name"
:deny
`)
	for _, c := range []struct {
		ip, host, info string
		want           string
	}{
		{"10.1.2.3", "", "", "10.1.2.3"},
		{"10.1.2.4", "", "", "10.1.2."}, // before a network of the same length
		{"10.1.15.4", "", "", "10.1.0.0/20"},
		{"10.1.16.4", "", "", "10.1."},
		{"10.2.16.4", "", "", "10.0.0.0/9"}, // before 10., which is shorter
		{"10.127.255.255", "", "", "10.0.0.0/9"},
		{"10.128.0.0", "", "", "10.128.0.0/9"},
		{"10.200.0.7", "", "", "10.200.0.7/32"},
		{"10.200.0.7", "mx.example.com", "", "=mx.example.com"}, // a whole name before any network
		{"10.200.0.7", "a.example.com", "", "10.200.0.7/32"},
		{"127.0.0.1", "a.example.com", "", "0.0.0.0/1"},
		{"128.0.0.1", "a.example.com", "", "=.example.com"},
		{"128.0.0.1", "", "", ""},
		{"2001:db8::1", "", "", "2001:db8::1"},
		{"2001:DB8:0::0:1", "", "", "2001:db8::1"},
		{"2001:db8::2", "", "", "2001:db8::/32"},
		{"2001:db8:0:1::2", "", "", "2001:db8:0:1::/64"},
		{"2001:db8::7", "", "joe", "joe@2001:db8::7"},
		{"2001:db8::7", "", "jane", "2001:db8::/32"},
		{"2001:db9::1", "", "", ""},
		{"fe80::1", "", "", "fe80::/10"},
		{"fe80::1%eth0", "", "", "fe80::/10"},
		{"fe80::1%a.b", "", "", "fe80::/10"},
		{"::ffff:10.1.2.3", "", "", "10.1.2.3"},
		{"::ffff:10.2.0.1", "", "", "10.0.0.0/9"},
		{"::10.2.0.1", "", "", ""},
		{"10.1.2.4.5", "", "", "10.1.2."}, // no address, so only by dots
		{"10.2.16", "", "", "10."},
	} {
		peer := Peer{IP: c.ip, Host: c.host, HasHost: c.host != "", Info: c.info, HasInfo: c.info != ""}
		if got, err := Lookup(db, peer); err != nil || !got.Matched || got.Rule != c.want {
			t.Errorf("Lookup(%+v) = %+v, %v, want the rule %q", peer, got, err, c.want)
		}
	}
}

// The order of networks, in a database that has one of each length.
func TestLookupEveryLength(t *testing.T) {
	for _, text := range []string{"170.170.170.170", "aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa"} {
		ip := netip.MustParseAddr(text)
		for longest := ip.BitLen(); longest >= 0; longest -= 8 {
			text := ""
			for length := range longest + 1 {
				prefix, _ := ip.Prefix(length)
				text += prefix.String() + ":deny\n"
			}
			want, _ := ip.Prefix(longest)
			if got, err := Lookup(compiled(t, text), Peer{IP: ip.String()}); err != nil || got.Rule != want.String() {
				t.Fatalf("of the networks up to %d %s meets %q, %v", longest, ip, got.Rule, err)
			}
		}
	}
}

// An index that tcprules cannot have made is a damaged file, not a reason for work.
func TestDamagedIndex(t *testing.T) {
	for _, lengths := range []string{"\x21", "\x08\x09", "\x08\x08", strings.Repeat("\x08", 1000)} {
		file := database(t, t.TempDir()+"/cdb", []cdb.Record{{Key: "/4\n", Value: lengths}})
		defer file.Close()
		if got, err := Lookup(file.Reader, Peer{IP: "1.2.3.4"}); !errors.Is(err, cdb.ErrFormat) {
			t.Errorf("with the index %q: %+v, %v, want cdb.ErrFormat", lengths, got, err)
		}
		if _, err := Lookup(file.Reader, Peer{IP: "::1"}); err != nil {
			t.Errorf("with the index %q an IPv6 address meets %v", lengths, err)
		}
	}
}

// FuzzNetworks: of any set of networks a client meets the longest that has it, as the
// plainest search finds it.
func FuzzNetworks(f *testing.F) {
	f.Add([]byte{10, 0, 0, 0, 9, 10, 1, 0, 0, 16}, []byte{10, 1, 2, 3})
	f.Add([]byte(strings.Repeat("\x20\x01\x0d\xb8", 12)), []byte("\x20\x01\x0d\xb8567890123456"))
	f.Fuzz(func(t *testing.T, set, client []byte) {
		ip, ok := netip.AddrFromSlice(client)
		if !ok || ip.Is4In6() {
			return
		}
		var text strings.Builder
		want, size := netip.Prefix{}, len(client)
		for len(set) > size {
			network, _ := netip.AddrFromSlice(set[:size])
			prefix := netip.PrefixFrom(network, int(set[size])%(8*size+1)).Masked()
			set = set[size+1:]
			if network.Is4In6() || prefix.Addr().Is4In6() {
				continue
			}
			fmt.Fprintf(&text, "%s:allow\n", prefix)
			if prefix.Contains(ip) && (!want.IsValid() || prefix.Bits() > want.Bits()) {
				want = prefix
			}
		}
		got, err := Lookup(compiled(t, text.String()), Peer{IP: ip.String()})
		if err != nil || got.Matched != want.IsValid() || got.Matched && got.Rule != want.String() {
			t.Errorf("%s meets %+v, %v, want %s of\n%s", ip, got, err, want, text.String())
		}
	})
}

// BenchmarkNetworks looks up a peer among networks of many lengths.
func BenchmarkNetworks(b *testing.B) {
	text := ":allow\n"
	for i := range 1000 {
		ip := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24|uint32(i)<<10)))
		prefix, _ := ip.Prefix(16 + i%9)
		text += prefix.String() + ":deny\n"
	}
	db := compiled(b, text)
	b.ReportAllocs()
	for b.Loop() {
		if got, err := Lookup(db, Peer{IP: "192.0.2.9"}); err != nil || !got.Matched {
			b.Fatal(got, err)
		}
	}
}
