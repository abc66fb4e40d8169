package suite

import (
	"fmt"
	"net"
	"net/smtp"
	"strings"
	"testing"
)

const (
	accepts4 = "192.0.2.10"
	accepts6 = "2001:db8::10"
	refuses  = "192.0.2.11"
	nobody   = "192.0.2.99"
	noRoute  = "203.0.113.1"
	myself   = "192.0.2.1"
)

// zone is everything that the name server knows.
const zone = `$ORIGIN .
$TTL 60
@ SOA ns.test. root.test. 1 60 60 60 60
@ NS ns.test.
ns.test A 192.0.2.53
here.test A ` + myself + `
well.test A ` + accepts4 + `
six.test AAAA ` + accepts6 + `
refuses.test A ` + refuses + `
nobody.test A ` + nobody + `
noroute.test A ` + noRoute + `
alias.test CNAME well.test.
10.2.0.192.in-addr.arpa PTR Well.Test.
1.2.0.192.in-addr.arpa PTR here.test.

plain.test MX 10 well.test.
preferences.test MX 5 noroute.test.
preferences.test MX 10 refuses.test.
preferences.test MX 20 well.test.
preferences.test MX 30 here.test.
silent.test MX 5 nobody.test.
silent.test MX 10 well.test.
cname.test CNAME plain.test.
toalias.test MX 10 alias.test.
alone.test MX 10 six.test.
both.test AAAA 2001:db8::11
both.test A ` + accepts4 + `
nodata.test TXT "nothing to see"
null.test MX 0 .
dangling.test MX 10 nowhere.test.
loop.test CNAME loop2.test.
loop2.test CNAME loop.test.
broken.test NS ns.test.
halfbroken.test MX 5 mx.broken.test.
halfbroken.test MX 10 well.test.
me.test MX 10 here.test.
me.test MX 20 well.test.
backup.test MX 10 refuses.test.
backup.test MX 20 here.test.
backup.test MX 30 well.test.
relay.test A ` + accepts4 + `
relay.test MX 10 here.test.
literal.test MX 10 192.0.2.10.
`

// What becomes of a delivery, in the words of the reports.
const (
	accepted = " accepted message.\nRemote host said: 250 taken\n"
	to4      = "success: " + accepts4 + accepted
	to6      = "success: " + accepts6 + accepted
	noHost   = "failure: Sorry, I couldn't find any host named %s. (#5.1.2)\n"
	soft     = "deferral: Sorry, I couldn't find any host by that name. (#4.1.2)\n"
	none     = "failure: Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4)\n"
	tired    = "deferral: Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n"
	itsMe    = "failure: Sorry. Although I'm listed as a best-preference MX or A for that host,\n" +
		"it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)\n"
)

var destinations = []struct{ domain, want string }{
	{"plain.test", to4},
	{"PLAIN.Test", to4},
	{"preferences.test", to4},
	{"silent.test", to4},
	{"cname.test", to4},
	{"toalias.test", to4},
	{"well.test", to4}, // an address and no MX
	{"alone.test", to6},
	{"six.test", to6},
	{"both.test", to4},
	{"big.test", to4},
	{"halfbroken.test", to4},
	{"x.routed.test", to4},
	{"[" + accepts4 + "]", to4},
	{accepts4, to4},
	{"literal.test", to4},
	{"nxdomain.test", fmt.Sprintf(noHost, "nxdomain.test")},
	{"nodata.test", fmt.Sprintf(noHost, "nodata.test")},
	{"bad..name.test", fmt.Sprintf(noHost, "bad..name.test")},
	{"null.test", none},
	{"dangling.test", none},
	{"broken.test", soft},
	{"loop.test", soft},
	{"refuses.test", tired},
	{"noroute.test", tired},
	{"backup.test", tired}, // only what is better than this host
	{"me.test", itsMe},
	{"here.test", itsMe},
	{"[" + myself + "]", itsMe},
	{"127.0.0.1", itsMe},
}

// named installs a suite on a host in a network of its own, beside one with a name server
// that knows the records. The options are those of resolv.conf.
func named(t *testing.T, records, options string) (s *suite, n network, ok bool) {
	t.Helper()
	if !asRoot(t, "makes a network of its own") {
		return nil, n, false
	}
	nsd, ok := tool(t, "nsd")
	if !ok {
		return nil, n, false
	}
	s = install(t)
	s.write("resolv.conf", "nameserver 192.0.2.53\n"+options)
	n = newNetwork(t, s.path("resolv.conf"))
	n.here.addresses("veth0", myself+"/24", "2001:db8::1/64")
	n.there.addresses("veth1", "192.0.2.53/24", accepts4+"/24", refuses+"/24", accepts6+"/64", "2001:db8::11/64")
	n.there.nsd(nsd, "192.0.2.53", records)
	s.inside = n.here.enter()
	return s, n, true
}

// Where mail goes when a real name server is asked.
func TestDNS(t *testing.T) {
	big := strings.Builder{} // an answer that only TCP can carry
	for i := range 60 {
		fmt.Fprintf(&big, "big.test MX %d a-mail-exchanger-with-a-rather-long-name-%d.test.\n", 100+i, i)
	}
	s, network, ok := named(t, zone+big.String()+"big.test MX 1 well.test.\n", "")
	if !ok {
		return
	}
	four, six := network.there.serve(accepts4+":25", nil), network.there.serve("["+accepts6+"]:25", nil)
	s.control("timeoutconnect", "1\n")
	s.control("concurrencyremote", "50\n")
	s.control("smtproutes", ".routed.test:relay.test\n")
	s.start()
	var recipients []string
	for _, r := range destinations {
		recipients = append(recipients, "you@"+r.domain)
	}
	s.enter("joe@"+me, recipients, "Subject: by dns\n\n")
	counts := map[string]int{}
	for i, r := range destinations {
		if got := s.outcome(recipients[i], 1); got != safeOutcome(r.want) {
			t.Errorf("%s: %s\nwant %s", r.domain, got, safeOutcome(r.want))
		}
		counts[r.want]++
	}
	if len(four.taken()) != counts[to4] || len(six.taken()) != counts[to6] {
		t.Errorf("%d and %d messages arrived, want %d and %d", len(four.taken()), len(six.taken()), counts[to4], counts[to6])
	}
}

// safeOutcome is the outcome of a delivery as the log has it.
func safeOutcome(s string) string {
	word, text, _ := strings.Cut(s, ": ")
	return word + ": " + safe(text)
}

// tcpserver asks the name server who a client is.
func TestDNSNamesOfClients(t *testing.T) {
	s, network, ok := named(t, zone, "")
	if !ok {
		return
	}
	s.start()
	s.spawn(s.log, nil, "bin/tcpserver", "-p", "-R", "-u", account(t, "passwd", "qmaild"), "-g", account(t, "group", "nofiles"), myself, "25", s.path("bin/qmail-smtpd"))
	for i, c := range []struct{ from, name string }{{accepts4, "well.test"}, {refuses, "unknown"}} {
		eventually(t, "tcpserver", func() (taken bool) {
			network.there.do(func() error {
				dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(c.from)}}
				conn, err := dialer.Dial("tcp", myself+":25")
				if err != nil {
					return nil
				}
				defer conn.Close()
				client, err := smtp.NewClient(conn, "here.test")
				if err != nil {
					return err
				}
				taken = true
				return session(client, "far@away.example", "joe@"+me, "Subject: named\n\n")
			})
			return taken
		})
		s.settled(i + 1)
		find(t, s.mail("u/joe/Maildir"), "\nReceived: from "+c.name+" (HELO client.example) ("+c.from+")\n  by here.test with SMTP; ")
	}
}
