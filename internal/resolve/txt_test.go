package resolve

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"quail/internal/dnstest"
)

// Lists of hosts answer by text, which comes whole, or by addresses.
func TestLists(t *testing.T) {
	server := dnstest.Zone(t, `
listed.example. TXT "See http://example.org/?1.2.3.4"
parts.example. TXT "a\"b\\" "c\007;\255"
parts.example. TXT "second"
alias.example. CNAME listed.example.
listed.example. A 127.0.0.2
other.example. AAAA ::1
`, map[string]dnstest.Handler{"broken.example.": dnstest.Rcode(dns.RcodeServerFailure)})
	// The file names nobody: Servers counts.
	r := &Resolver{Config: t.TempDir() + "/none", Port: server.Port, Servers: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	for _, c := range []struct {
		name, text string
		addresses  int
		kind       Kind // if there is no text
	}{
		{"listed.example", "See http://example.org/?1.2.3.4", 1, 0},
		{"alias.example", "See http://example.org/?1.2.3.4", 1, 0},
		{"other.example", "", 0, NoData},
		{"none.example", "", 0, NoName},
		{"broken.example", "", 0, Soft},
	} {
		text, err := r.TXT(context.Background(), c.name)
		if text != c.text || err != nil != (c.text == "") || err != nil && err.(*Error).Kind != c.kind {
			t.Errorf("text of %s: %q, %v", c.name, text, err)
		}
		if a, err := r.A(context.Background(), c.name); len(a) != c.addresses || IsSoft(err) != (c.text == "" && c.kind == Soft) {
			t.Errorf("addresses of %s: %v, %v", c.name, a, err)
		}
	}
	// Records may come in any order.
	parts := []string{"a\"b\\c\007;\377second", "seconda\"b\\c\007;\377"}
	if text, err := r.TXT(context.Background(), "parts.example"); err != nil || !slices.Contains(parts, text) {
		t.Errorf("strings and records: %q, %v", text, err)
	}
}

// FuzzUnescape: whatever bytes a string has in a record, they come out again.
func FuzzUnescape(f *testing.F) {
	f.Add([]byte("a\"b\\007\x07\xff"))
	f.Fuzz(func(t *testing.T, s []byte) {
		s = s[:min(len(s), 255)]
		rr := []byte{0, 0, byte(dns.TypeTXT), 0, dns.ClassINET, 0, 0, 0, 0} // the root's
		rr = binary.BigEndian.AppendUint16(rr, uint16(len(s)+1))
		rr = append(append(rr, byte(len(s))), s...)
		record, _, err := dns.UnpackRR(rr, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := unescape(record.(*dns.TXT).Txt[0]); got != string(s) {
			t.Errorf("%q came out as %q", s, got)
		}
	})
}
