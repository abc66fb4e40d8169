package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"quail/internal/dnstest"
	"quail/internal/resolve"
)

const zone = `
example.com. MX 20 b.example.com.
example.com. MX 10 A.example.com.
example.com. MX 30 .
a.example.com. A 192.0.2.1
a.example.com. A 192.0.2.2
a.example.com. AAAA 2001:db8::1
b.example.com. A 192.0.2.3
six.example. AAAA 2001:db8::6
mapped.example. AAAA ::ffff:192.0.2.9
alias.example. CNAME Second.example.
second.example. CNAME a.example.com.
dangling.example. CNAME nowhere.example.
loop1.example. CNAME loop2.example.
loop2.example. CNAME loop1.example.
empty.example. TXT "no address"
toempty.example. CNAME empty.example.
mxalias.example. CNAME example.com.
null.example. MX 0 .
literal.example. MX 5 192.0.2.77.
dot\.inside.example. A 192.0.2.8
odd.example. MX 1 dot\.inside.example.
`

// reply builds an answer by hand and sends its bytes after edit.
func reply(edit func([]byte) []byte, records ...string) dnstest.Handler {
	return func(w dns.ResponseWriter, query *dns.Msg) {
		m := new(dns.Msg).SetReply(query)
		for _, s := range records {
			rr, err := dns.NewRR(s)
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		b, err := m.Pack()
		if err != nil {
			panic(err)
		}
		w.Write(edit(b))
	}
}

// recursive marks the answer as that of a server that has asked others.
func recursive(b []byte) []byte { b[3] |= 0x80; return b }

func cut(n int) func([]byte) []byte {
	return func(b []byte) []byte { return b[:len(b)-n] }
}

func set(at int, value byte) func([]byte) []byte {
	return func(b []byte) []byte { b[at] = value; return b }
}

var odd = map[string]dnstest.Handler{
	"servfail.example.": dnstest.Rcode(dns.RcodeServerFailure),
	"refused.example.":  dnstest.Rcode(dns.RcodeRefused),
	"notimp.example.":   dnstest.Rcode(dns.RcodeNotImplemented),
	"formerr.example.":  dnstest.Rcode(dns.RcodeFormatError),
	"lame.example.":     reply(cut(0)), // neither in charge nor asking others
	"nothing.example.":  reply(recursive),
	"silent.example.":   func(dns.ResponseWriter, *dns.Msg) {},
	// The record is cut short, cut off whole while the count stays, or says that
	// it has no data: none of this proves that there is no address.
	"cut.example.":     reply(cut(2), "cut.example. A 192.0.2.1"),
	"gone.example.":    reply(cut(29), "gone.example. A 192.0.2.1"),
	"garbage.example.": reply(func(b []byte) []byte { return append(b[:12], 0xc0, 0xc0, 0xff) }),
	// Not to this question: ignored until the time is up.
	"otherid.example.":    reply(set(0, 0), "otherid.example. A 192.0.2.1"),
	"query.example.":      reply(set(2, 1), "query.example. A 192.0.2.1"),
	"othername.example.":  reply(set(13, 'x'), "othername.example. A 192.0.2.1"),
	"otherowner.example.": reply(cut(0), "someone.example. A 192.0.2.1"),
	"case.example.":       reply(set(13, 'C'), "CASE.example. A 192.0.2.1"),
	"half.example.": func(w dns.ResponseWriter, query *dns.Msg) {
		if query.Question[0].Qtype == dns.TypeAAAA {
			dnstest.Rcode(dns.RcodeServerFailure)(w, query)
		} else {
			reply(cut(0), "half.example. A 192.0.2.5")(w, query)
		}
	},
	"nosix.example.": func(w dns.ResponseWriter, query *dns.Msg) {
		if query.Question[0].Qtype == dns.TypeAAAA {
			dnstest.Rcode(dns.RcodeServerFailure)(w, query)
		} else {
			reply(recursive)(w, query)
		}
	},
	"cuttcp.example.": func(w dns.ResponseWriter, query *dns.Msg) {
		reply(set(2, 0x82), "cuttcp.example. A 192.0.2.1")(w, query)
	},
}

const none = resolve.Kind(-1) // no error

func kind(err error) resolve.Kind {
	var e *resolve.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return none
}

func start(t *testing.T) *resolve.Resolver {
	s := dnstest.Zone(t, zone, odd)
	return &resolve.Resolver{Config: s.Config, Port: s.Port}
}

func TestAddrs(t *testing.T) {
	r := start(t)
	long := strings.Repeat("x", 63)
	for _, c := range []struct {
		name, want string
		kind       resolve.Kind
	}{
		{"a.example.com", "2001:db8::1 192.0.2.1 192.0.2.2", none},
		{"A.Example.Com.", "2001:db8::1 192.0.2.1 192.0.2.2", none},
		{"six.example", "2001:db8::6", none},
		{"mapped.example", "192.0.2.9", none},
		{"alias.example", "2001:db8::1 192.0.2.1 192.0.2.2", none},
		{"dangling.example", "", none}, // an answer, but no address in it
		{"toempty.example", "", none},
		{"loop1.example", "", resolve.Soft},
		{"empty.example", "", resolve.NoData},
		{"nowhere.example", "", resolve.NoName},
		{`dot\.inside.example`, "192.0.2.8", none},
		{`dot\046inside.example`, "192.0.2.8", none},
		{"", "", resolve.NoName}, // the root is not in the zone
		{".", "", resolve.NoName},
		{"..", "", resolve.NoName},
		{".example.com", "", resolve.NoName},
		{"a..example.com", "", resolve.NoName},
		{`example\`, "", resolve.NoName},
		{long + "x.example", "", resolve.NoName},
		{long + "." + long + "." + long + "." + long, "", resolve.NoName},
		{"sp ace.\x00\xff.example", "", resolve.NoName},
		{"servfail.example", "", resolve.Soft},
		{"refused.example", "", resolve.Soft},
		{"notimp.example", "", resolve.Soft},
		{"formerr.example", "", resolve.Soft},
		{"lame.example", "", resolve.Soft},
		{"nothing.example", "", resolve.NoData},
		{"silent.example", "", resolve.Soft},
		{"cut.example", "", resolve.Soft},
		{"gone.example", "", resolve.Soft},
		{"garbage.example", "", resolve.Soft},
		{"otherid.example", "", resolve.Soft},
		{"query.example", "", resolve.Soft},
		{"othername.example", "", resolve.Soft},
		{"otherowner.example", "", none},
		{"case.example", "192.0.2.1", none},
		{"half.example", "192.0.2.5", none},
		{"nosix.example", "", resolve.Soft},
		{"cuttcp.example", "", resolve.Soft},
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel() // some of them wait for a timeout
			addrs, err := r.Addrs(context.Background(), c.name)
			got := strings.Trim(fmt.Sprint(addrs), "[]")
			if got != c.want || kind(err) != c.kind || resolve.IsSoft(err) != (c.kind == resolve.Soft) {
				t.Errorf("Addrs(%q) = %s, %v, want %s, kind %d", c.name, got, err, c.want, c.kind)
			}
		})
	}
}

func TestMX(t *testing.T) {
	r := start(t)
	abc := []resolve.MX{{10, "A.example.com"}, {20, "b.example.com"}, {30, ""}}
	for _, c := range []struct {
		name string
		want []resolve.MX
		kind resolve.Kind
	}{
		{"example.com", abc, none},
		{"EXAMPLE.com.", abc, none},
		{"mxalias.example", abc, none},
		{"null.example", []resolve.MX{{0, ""}}, none},
		{"literal.example", []resolve.MX{{5, "192.0.2.77"}}, none},
		{"odd.example", []resolve.MX{{1, `dot\.inside.example`}}, none},
		{"toempty.example", nil, none},
		{"empty.example", nil, resolve.NoData},
		{"nowhere.example", nil, resolve.NoName},
		{"servfail.example", nil, resolve.Soft},
	} {
		got, err := r.MX(context.Background(), c.name)
		if len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) || kind(err) != c.kind {
			t.Errorf("MX(%q) = %v, %v, want %v, kind %d", c.name, got, err, c.want, c.kind)
		}
	}
}

// An answer of thousands of records comes by TCP, and only so much of it is kept.
func TestMany(t *testing.T) {
	var records strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&records, "many.example. MX %d m%d.example.\n", 2000-i, i)
		fmt.Fprintf(&records, "many.example. A 10.0.%d.%d\n", i/250, i%250)
	}
	s := dnstest.Zone(t, records.String(), nil)
	r := &resolve.Resolver{Config: s.Config, Port: s.Port}
	mx, err := r.MX(context.Background(), "many.example")
	if err != nil || len(mx) != resolve.MaxMX || mx[0] != (resolve.MX{1, "m1999.example"}) {
		t.Errorf("MX = %d records, %v", len(mx), err)
	}
	addrs, err := r.Addrs(context.Background(), "many.example")
	if err != nil || len(addrs) != resolve.MaxAddrs {
		t.Errorf("Addrs = %d addresses, %v", len(addrs), err)
	}
}

// Equal preferences share the load: each of two comes first sometimes.
func TestRandomOrder(t *testing.T) {
	s := dnstest.Zone(t, "x.example. MX 1 a.example.\nx.example. MX 1 b.example.", nil)
	r := &resolve.Resolver{Config: s.Config, Port: s.Port}
	first := map[string]bool{}
	for range 64 { // one host first 64 times by chance: 2 in 2^64
		mx, err := r.MX(context.Background(), "x.example")
		if err != nil || len(mx) != 2 {
			t.Fatalf("MX = %v, %v", mx, err)
		}
		first[mx[0].Host] = true
	}
	if len(first) != 2 {
		t.Errorf("always the same host first: %v", first)
	}
}

// A server that is dead, or refuses, is followed by the next one; lines of
// resolv.conf that are not addresses are no servers.
func TestServers(t *testing.T) {
	good := dnstest.Zone(t, zone, odd)
	for _, c := range []struct {
		config string
		kind   resolve.Kind
	}{
		{"nameserver 127.0.0.1\n", none},
		{"nameserver 127.0.0.2\nnameserver 127.0.0.1\noptions timeout:1\n", none},
		{"nameserver name.example\nnameserver\nnameserver 127.0.0.1", none},
		{"search example.com\nnameserver 127.0.0.1", none},
		{"", none}, // this host
		{"nameserver 127.0.0.2\noptions timeout:1 attempts:1", resolve.Soft},
		{strings.Repeat("nameserver 127.0.0.2\n", 3) + "nameserver 127.0.0.1", resolve.Soft}, // the fourth does not count
	} {
		config := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(config, []byte(c.config), 0o644); err != nil {
			t.Fatal(err)
		}
		r := &resolve.Resolver{Config: config, Port: good.Port}
		if _, err := r.Addrs(context.Background(), "b.example.com"); kind(err) != c.kind {
			t.Errorf("with %q: %v, want kind %d", c.config, err, c.kind)
		}
		if _, err := r.Addrs(context.Background(), "b"); c.kind == none && kind(err) != resolve.NoName {
			t.Errorf("with %q: b was found by a search list: %v", c.config, err)
		}
	}
	r := &resolve.Resolver{Config: filepath.Join(t.TempDir(), "absent"), Port: good.Port}
	if _, err := r.Addrs(context.Background(), "b.example.com"); err != nil {
		t.Errorf("without resolv.conf: %v, want this host asked", err)
	}
	r.Config = t.TempDir()
	if _, err := r.Addrs(context.Background(), "b.example.com"); kind(err) != resolve.Soft {
		t.Errorf("with an unreadable resolv.conf: %v, want soft", err)
	}
}

// A packet that does not belong to the question is no answer, but does not keep
// the right one behind it from being one.
func TestForgery(t *testing.T) {
	server := dnstest.Serve(t, func(w dns.ResponseWriter, query *dns.Msg) {
		forged := new(dns.Msg).SetRcode(query, dns.RcodeNameError)
		forged.Id++
		w.WriteMsg(forged)
		forged.Id--
		forged.Question[0].Name = "other.example."
		w.WriteMsg(forged)
		w.Write([]byte("x"))
		reply(cut(0), "x.example. A 192.0.2.1")(w, query)
	})
	r := &resolve.Resolver{Config: server.Config, Port: server.Port}
	addrs, err := r.Addrs(context.Background(), "x.example")
	if len(addrs) == 0 || addrs[0] != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("Addrs = %v, %v", addrs, err)
	}
}

func TestCancel(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	config := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(config, []byte("nameserver 127.0.0.1\noptions timeout:30 attempts:5"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &resolve.Resolver{Config: config, Port: silent.LocalAddr().(*net.UDPAddr).Port}
	if _, err := r.MX(ctx, "x.example"); kind(err) != resolve.Soft {
		t.Errorf("MX = %v, want soft", err)
	}
}
