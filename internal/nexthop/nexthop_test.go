package nexthop

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"quail/internal/control"
	"quail/internal/dnstest"
	"quail/internal/localaddr"
	"quail/internal/resolve"
)

func own(addrs ...string) func() (localaddr.Set, error) {
	return func() (localaddr.Set, error) {
		var list []netip.Addr
		for _, a := range addrs {
			list = append(list, netip.MustParseAddr(a))
		}
		return localaddr.NewSet(list), nil
	}
}

func TestRoute(t *testing.T) {
	dir := t.TempDir()
	routes := `a.test:relay.a
A.test:last.wins
.test:dot.test:26
b.c.test:
port.example:r:
big.example:r:65561
letters.example:r:x25
more.example:r:25:26
empty.example::26
six.example:[::1]:2525
sixbare.example:[2001:db8::1]
sixodd.example:[::1]x:25
quad.example:[127.0.0.1]:27
user.example:r:587 joe@me.test
blanks.example:[::1]:587 	 joe doe 	
comment.example:r:587 # a note
glued.example:r:587joe
noport.example:r joe
noroute
`
	if err := os.WriteFile(filepath.Join(dir, "smtproutes"), []byte(routes), 0o644); err != nil {
		t.Fatal(err)
	}
	list, _, err := control.Dir(dir).Map("smtproutes")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		host string
		want Target
	}{
		{"a.test", Target{Host: "last.wins", Port: 25, Relayed: true}},
		{"A.TEST", Target{Host: "last.wins", Port: 25, Relayed: true}},
		{"x.a.test", Target{Host: "dot.test", Port: 26, Relayed: true}},
		{".test", Target{Host: "dot.test", Port: 26, Relayed: true}},
		{"test", Target{Host: "test", Port: 25}}, // .x does not match x
		{"b.c.test", Target{Host: "b.c.test", Port: 25}},
		{"port.example", Target{Host: "r", Port: 0, Relayed: true}}, // as the original has it
		{"big.example", Target{Host: "r", Port: 25, Relayed: true}},
		{"letters.example", Target{Host: "r", Port: 0, Relayed: true}},
		{"more.example", Target{Host: "r", Port: 25, Relayed: true}},
		{"empty.example", Target{Host: "", Port: 26, Relayed: true}},
		{"six.example", Target{Host: "[::1]", Port: 2525, Relayed: true}},
		{"sixbare.example", Target{Host: "[2001:db8::1]", Port: 25, Relayed: true}},
		{"sixodd.example", Target{Host: "[", Port: 0, Relayed: true}},
		{"quad.example", Target{Host: "[127.0.0.1]", Port: 27, Relayed: true}},
		{"user.example", Target{Host: "r", Port: 587, Relayed: true, User: "joe@me.test"}},
		{"blanks.example", Target{Host: "[::1]", Port: 587, Relayed: true, User: "joe doe"}},
		{"comment.example", Target{Host: "r", Port: 587, Relayed: true}},
		{"glued.example", Target{Host: "r", Port: 587, Relayed: true}},
		{"noport.example", Target{Host: "r joe", Port: 25, Relayed: true}}, // as the original has it
		{"noroute", Target{Host: "noroute", Port: 25}},
		{"", Target{Host: "", Port: 25}},
	} {
		if got, _ := Route(list, test.host, 25); got != test.want {
			t.Errorf("Route(%q) = %v, want %v", test.host, got, test.want)
		}
	}
	list[""] = "smart:587"
	for _, host := range []string{"", "test", "any.where", "noroute"} {
		if got, _ := Route(list, host, 25); got != (Target{Host: "smart", Port: 587, Relayed: true}) {
			t.Errorf("with a default, Route(%q) = %v", host, got)
		}
	}
	if got, rule := Route(list, "B.c.test", 25); got.Relayed || rule != (Rule{true, "B.c.test", ""}) {
		t.Errorf("with a default, the exception b.c.test became %v by %v", got, rule)
	}
}

func TestLiteral(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"1.2.3.4", "1.2.3.4"},
		{"[1.2.3.4]", "1.2.3.4"},
		{"300.1.1.1", "44.1.1.1"}, // the original's reading, as are the next two
		{"4294967423.0.0.1", "127.0.0.1"},
		{"18446744073709551743.0.0.1", "127.0.0.1"},
		{"01.002.3.4", "1.2.3.4"},
		{"1.2.3", ""}, {"1.2.3.4.", ""}, {"1..2.3", ""}, {"...", ""}, {"", ""}, {"[]", ""},
		{"[1.2.3.4", ""}, {"1.2.3.4]", ""}, {"[[1.2.3.4]]", ""}, {"1.2.3.4 ", ""}, {"1.2.3.x", ""}, {"1.2.3.4.5", ""},
		{"[IPv6:2001:db8::1]", "2001:db8::1"},
		{"[ipv6:::1]", "::1"},
		{"[::1]", "::1"},
		{"[::ffff:1.2.3.4]", "1.2.3.4"},
		{"::1", ""}, {"[fe80::1%eth0]", ""}, {"[IPv6:1.2.3.4]", ""}, {"[IPv6:]", ""}, {"[IPv6:::1", ""},
	} {
		got, ok := literal(c.in)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("literal(%q) = %v, %v, want %q", c.in, got, ok, c.want)
		}
	}
}

const zone = `
two.test. MX 10 a.test.
two.test. MX 20 b.test.
a.test. A 127.0.1.1
b.test. A 127.0.1.2
c.test. A 127.0.1.3
c.test. AAAA ::1
nomx.test. A 127.0.1.4
alias.test. CNAME two.test.
aliastoa.test. CNAME a.test.
three.test. MX 30 c.test.
three.test. MX 10 a.test.
three.test. MX 20 b.test.
null.test. MX 0 .
text.test. TXT "x"
deadmx.test. MX 5 nowhere.test.
deadmx.test. MX 6 text.test.
softmx.test. MX 5 broken.test.
softmx.test. MX 6 nowhere.test.
somesoft.test. MX 5 broken.test.
somesoft.test. MX 6 a.test.
literalmx.test. MX 50 127.0.1.9.
literalmx.test. MX 10 a.test.
dangling.test. CNAME nowhere.test.
meonly.test. MX 3 me.test.
me.test. A 127.0.0.1
meworse.test. MX 3 me.test.
meworse.test. MX 2 a.test.
four.test. MX 3 a.test.
four.test. MX 1 nowhere.test.
`

// Where mail for a host goes, by what the DNS says about it and by which of the
// addresses are this host's own.
func TestFind(t *testing.T) {
	server := dnstest.Zone(t, zone, map[string]dnstest.Handler{"broken.test.": dnstest.Rcode(dns.RcodeServerFailure)})
	const (
		unknown = "Sorry, I couldn't find any host named "
		perm    = ". (#5.1.2)"
	)
	for _, c := range []struct {
		host    string
		relayed bool
		own     []string
		want    string
		fails   string
	}{
		{"two.test", false, nil, "127.0.1.1/10 127.0.1.2/20", ""},
		{"two.test", true, nil, "", unknown + "two.test" + perm}, // no MX for relays
		{"a.test", true, nil, "127.0.1.1/0", ""},
		{"alias.test", false, nil, "127.0.1.1/10 127.0.1.2/20", ""},
		{"aliastoa.test", false, nil, "127.0.1.1/0", ""},
		{"nomx.test", false, nil, "127.0.1.4/0", ""},
		{"c.test", false, nil, "::1/0 127.0.1.3/0", ""},
		{"three.test", false, nil, "127.0.1.1/10 127.0.1.2/20 ::1/30 127.0.1.3/30", ""},
		{"three.test", false, []string{"127.0.1.3"}, "127.0.1.1/10 127.0.1.2/20", ""}, // ::1 is no better than me
		{"three.test", false, []string{"::1"}, "127.0.1.1/10 127.0.1.2/20", ""},
		{"three.test", false, []string{"127.0.1.2"}, "127.0.1.1/10", ""},
		{"three.test", false, []string{"127.0.1.1"}, "", ErrMe.Text},
		{"nomx.test", false, []string{"127.0.1.4"}, "", ErrMe.Text},
		{"nomx.test", true, []string{"127.0.1.4"}, "127.0.1.4/0", ""},
		{"127.0.1.4", false, []string{"127.0.1.4"}, "", ErrMe.Text},
		{"[127.0.1.4]", true, []string{"127.0.1.4"}, "127.0.1.4/0", ""},
		{"[IPv6:::1]", false, nil, "::1/0", ""},
		{"literalmx.test", false, nil, "127.0.1.1/10 127.0.1.9/0", ""}, // a literal's preference is 0, its place stays
		{"literalmx.test", false, []string{"127.0.1.1"}, "127.0.1.9/0", ""},
		{"literalmx.test", false, []string{"127.0.1.9"}, "", ErrMe.Text},
		{"meonly.test", false, []string{"127.0.0.1"}, "", ErrMe.Text},
		{"meworse.test", false, []string{"127.0.0.1"}, "127.0.1.1/2", ""},
		{"four.test", false, nil, "127.0.1.1/3", ""},
		{"null.test", false, nil, "", ErrNoAddress.Text},
		{"deadmx.test", false, nil, "", ErrNoAddress.Text},
		{"softmx.test", false, nil, "", ErrDNS.Text},
		{"somesoft.test", false, nil, "127.0.1.1/6", ""},
		{"broken.test", false, nil, "", ErrDNS.Text},
		{"broken.test", true, nil, "", ErrDNS.Text},
		{"text.test", false, nil, "", unknown + "text.test" + perm},
		{"nowhere.test", false, nil, "", unknown + "nowhere.test" + perm},
		{"dangling.test", false, nil, "", ErrNoAddress.Text},
		{"no where\x7f\xe9.test", false, nil, "", unknown + "no?where??.test" + perm},
		{"", false, nil, "", unknown + perm},
		{"a..b", false, nil, "", unknown + "a..b" + perm},
	} {
		f := Finder{&resolve.Resolver{Config: server.Config, Port: server.Port}, own(c.own...)}
		w, failure := f.Find(context.Background(), Target{Host: c.host, Relayed: c.relayed})
		var got []string
		for _, x := range w.Candidates {
			got = append(got, fmt.Sprintf("%s/%d", x.Addr, x.Pref))
		}
		fails := ""
		if failure != nil {
			fails = failure.Text
		}
		if strings.Join(got, " ") != c.want || fails != c.fails {
			t.Errorf("Find(%q, relayed %v, own %s) = %s, %q, want %s, %q", c.host, c.relayed, c.own, got, fails, c.want, c.fails)
		}
	}
	f := Finder{Local: func() (localaddr.Set, error) { return nil, errors.New("no") }}
	if _, failure := f.Find(context.Background(), Target{Host: "127.0.1.1"}); failure != ErrSystem {
		t.Errorf("without local addresses: %v, want %v", failure, ErrSystem)
	}
}

// What was found on the way, for whoever wants to know.
func TestWay(t *testing.T) {
	server := dnstest.Zone(t, zone, nil)
	f := Finder{&resolve.Resolver{Config: server.Config, Port: server.Port}, own("127.0.1.2")}
	w, failure := f.Find(context.Background(), Target{Host: "three.test"})
	if failure != nil {
		t.Fatal(failure)
	}
	a, b, c := netip.MustParseAddr("127.0.1.1"), netip.MustParseAddr("127.0.1.2"), netip.MustParseAddr("127.0.1.3")
	six := netip.MustParseAddr("::1")
	want := Way{
		Exchangers: []Exchanger{
			{MX: resolve.MX{Pref: 10, Host: "a.test"}, Addrs: []netip.Addr{a}},
			{MX: resolve.MX{Pref: 20, Host: "b.test"}, Addrs: []netip.Addr{b}},
			{MX: resolve.MX{Pref: 30, Host: "c.test"}, Addrs: []netip.Addr{six, c}},
		},
		Candidates: []Candidate{{a, 10, "a.test"}},
		Mine:       []Candidate{{b, 20, "b.test"}},
		PassedOver: []Candidate{{b, 20, "b.test"}, {six, 30, "c.test"}, {c, 30, "c.test"}},
	}
	if !reflect.DeepEqual(w, want) {
		t.Errorf("Find = %+v, want %+v", w, want)
	}
	if w, failure := f.Find(context.Background(), Target{Host: "127.0.1.2"}); failure != ErrMe || len(w.Mine) != 1 || w.Candidates != nil {
		t.Errorf("Find(myself) = %+v, %v", w, failure)
	}
}

// Any host and any route lead to a target.
func FuzzRoute(f *testing.F) {
	f.Add("a.b.test", "relay:26")
	f.Add("", "[::1]:x")
	f.Fuzz(func(t *testing.T, host, relay string) {
		routes := control.Map{"": relay}
		target, rule := Route(routes, host, 25)
		if !rule.Found || rule.Key != "" || target.Relayed != (relay != "") {
			t.Fatalf("Route(%q) by %q = %v, %v", host, relay, target, rule)
		}
		if !strings.Contains(relay+host, target.Host) {
			t.Errorf("Route(%q) by %q = %v: a host out of nowhere", host, relay, target)
		}
		if target.User != "" && (!strings.HasSuffix(relay, target.User) || !strings.ContainsAny(relay, " \t")) {
			t.Errorf("Route(%q) by %q = %v: a user out of nowhere", host, relay, target)
		}
		if a, ok := literal(target.Host); ok && !a.IsValid() {
			t.Errorf("literal(%q) = %v", target.Host, a)
		}
	})
}
