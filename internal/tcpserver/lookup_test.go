package tcpserver

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/miekg/dns"

	"quail/internal/dnstest"
	"quail/internal/peer"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

// zone is what the name server of these tests knows. 127.0.1.9 is left without an
// answer, see unanswered.
const zone = `
2.1.0.127.in-addr.arpa. 60 IN PTR Foo.Example.COM.
four.example.com. 60 IN A 10.0.0.1
both.example.com. 60 IN AAAA ::1
both.example.com. 60 IN A 127.0.0.1
six.example.com. 60 IN AAAA ::1
`

// unanswered is what the name server says about 127.0.1.9: nothing.
var unanswered = map[string]dnstest.Handler{
	"9.1.0.127.in-addr.arpa.": func(dns.ResponseWriter, *dns.Msg) {},
}

// testResolver asks the name server of the test instead of port 53.
func testResolver(t *testing.T) *peer.Resolver {
	t.Helper()
	port := dnstest.Zone(t, zone, unanswered).Port
	r := peer.NewResolver(prog.Env{"DNSCACHEIP=127.0.0.1"})
	r.Port = uint16(port)
	return r
}

func TestAddress(t *testing.T) {
	names := testResolver(t)
	for _, c := range []struct{ host, want string }{
		{"", "0.0.0.0"},
		{"0", "0.0.0.0"},
		{"::", "::"},
		{"::ffff:127.0.0.1", "127.0.0.1"},
		{"four.example.com", "10.0.0.1"},
		{"both.example.com", "127.0.0.1"},
		{"six.example.com", "::1"},
	} {
		s := &server{options: options{host: c.host}, names: names}
		if got, err := s.address(); err != nil || got.String() != c.want {
			t.Errorf("address of %q: %v, %v; want %s", c.host, got, err, c.want)
		}
	}
	s := &server{options: options{host: "no.example.com."}, names: names}
	if _, err := s.address(); err == nil || err.Error() != "no IP address for no.example.com." {
		t.Errorf("no such name: %v", err)
	}
}

// inProcess runs the connections of a server as goroutines of the test.
func inProcess(t *testing.T, names *peer.Resolver) (client *instance) {
	t.Helper()
	logR, logW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { logR.Close() })
	logR.SetReadDeadline(time.Now().Add(patient))
	l, err := listen(netip.MustParseAddrPort("127.0.0.1:0"), 20)
	if err != nil {
		t.Fatal(err)
	}
	o := options{limit: 4, verbosity: verbose, remoteHost: true, localHost: ucspi.Known("0"),
		program: []string{"/bin/sh", "-c", "echo $TCPREMOTEHOST"}}
	s := newServer(&prog.Process{Stderr: logW, Dir: "/", PID: os.Getpid(), Now: time.Now}, o)
	s.names, s.listener, s.localPort = names, l, fmt.Sprint(l.port)
	go s.accept()
	return &instance{t: t, port: s.localPort, log: bufio.NewReader(logR)}
}

// TestSlowNames: a client whose name server does not answer delays no other.
func TestSlowNames(t *testing.T) {
	client := inProcess(t, testResolver(t))
	client.dial("127.0.1.9")
	for range 3 {
		if got := client.get("127.0.1.2"); got != "foo.example.com\n" {
			t.Errorf("got %q", got)
		}
	}
}

// TestPanic: a mistake of ours costs one connection, not the server.
func TestPanic(t *testing.T) {
	client := inProcess(t, nil) // which no option can do
	for range 5 {
		if got := client.get("127.0.0.1"); got != "" {
			t.Errorf("got %q", got)
		}
		client.expect(`tcpserver: status: 1/4`, `tcpserver: pid [0-9]+ from 127\.0\.0\.1`,
			`tcpserver: warning: dropping connection, internal error: .*`,
			`tcpserver: end [0-9]+ status 28416`, `tcpserver: status: 0/4`)
	}
}
