package suite

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// attempt is a session of a client that wants a message sent on.
type attempt struct {
	conn   net.Conn
	client *smtp.Client
	err    error
}

// begin connects from an address there to a port here and reads the greeting.
func (n network) begin(from, to string) (a attempt) {
	n.here.t.Helper()
	eventually(n.here.t, "tcpserver at "+to, func() bool {
		n.there.do(func() error {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			a.conn, a.err = dialer.Dial("tcp", to)
			return nil
		})
		return a.err == nil
	})
	a.conn.SetDeadline(time.Now().Add(deadline))
	a.client, a.err = smtp.NewClient(a.conn, "here.test")
	return a
}

// end says what becomes of a recipient elsewhere.
func (a attempt) end(t *testing.T) string {
	t.Helper()
	defer a.conn.Close()
	if a.err == nil {
		a.err = a.client.Mail("far@away.example")
	}
	if a.err == nil {
		a.err = a.client.Rcpt("you@far.example")
	}
	var answer *textproto.Error
	switch {
	case a.err == nil:
		return "taken"
	case errors.As(a.err, &answer):
		return fmt.Sprint(answer.Code)
	case errors.Is(a.err, io.EOF):
		return "denied"
	}
	t.Error(a.err)
	return ""
}

// Rules for networks and for IPv6 clients, which are changed while a server runs: they
// count for every connection that comes after, and for none that was there before.
func TestRulesForNetworks(t *testing.T) {
	if !asRoot(t, "makes a network of its own") {
		return
	}
	s := install(t)
	n := newNetwork(t, "")
	n.here.addresses("veth0", "192.0.2.1/24", "2001:db8::1/64")
	n.there.addresses("veth1", "192.0.2.10/24", "192.0.2.130/24", "2001:db8::10/64", "2001:db8:0:0:8000::10/64")
	clients := []string{"192.0.2.10", "192.0.2.130", "2001:db8::10", "2001:db8:0:0:8000::10"}
	s.inside = n.here.enter()
	s.start()
	s.compileRules("tcp.smtp", ":allow\n")
	for _, host := range []string{"192.0.2.1", "2001:db8::1"} {
		args := append([]string{"-RHl0", "-x", s.path("tcp.smtp.cdb")}, s.chain()...)
		s.spawn(s.log, nil, "bin/tcpserver", append(args, host, "25", s.path("bin/qmail-smtpd"))...)
	}
	before := n.begin(clients[3], "[2001:db8::1]:25")
	for _, c := range []struct{ rules, want string }{
		{":allow\n", "553 553 553 553"},
		{"192.0.2.128/25:allow,RELAYCLIENT=\"\"\n192.0.2.:deny\n2001:DB8:0:0:8000::/65:allow,RELAYCLIENT=\"@gate.example\"\n2001:db8::/32:deny\n", "denied taken denied taken"},
		{"192.0.2.0/25:allow,RELAYCLIENT=\"\"\n2001:db8::10:allow,RELAYCLIENT=\"\"\n::/0:deny\n", "taken 553 taken denied"},
		{"0.0.0.0/0:deny\n::/0:allow,RELAYCLIENT=\"\"\n2001:db8::10/128:allow\n", "denied denied 553 taken"},
		{"::ffff:192.0.2.10:allow,RELAYCLIENT=\"\"\n2001:db8::/33:deny\n", "taken 553 denied denied"},
		{"192.0.2.:allow,RELAYCLIENT=\"\"\n", "taken taken 553 553"},
	} {
		s.compileRules("tcp.smtp", c.rules)
		var got []string
		for _, client := range clients {
			to := "192.0.2.1:25"
			if strings.Contains(client, ":") {
				to = "[2001:db8::1]:25"
			}
			got = append(got, n.begin(client, to).end(t))
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("with the rules\n%sthe clients were told %q, want %q", c.rules, got, c.want)
		}
	}
	if got := before.end(t); got != "553" {
		t.Errorf("a client that came before all rules was told %q", got)
	}
	s.wrongRules()
}

// wrongRules makes sure that rules that are none leave those that are in force.
func (s *suite) wrongRules() {
	s.t.Helper()
	was := s.contents(s.path("tcp.smtp.cdb"))
	cmd := exec.Command(s.path("bin/tcprules"), s.path("tcp.smtp.cdb"), s.path("tcp.smtp.tmp"))
	cmd.Stdin = strings.NewReader("192.0.2.1/24:allow\n")
	out, _ := cmd.CombinedOutput()
	const want = "tcprules: fatal: unable to parse this line: 192.0.2.1/24:allow: 192.0.2.1/24 has bits set behind its length: the network is 192.0.2.0/24\n"
	if status := cmd.ProcessState.ExitCode(); string(out) != want || status != 100 {
		s.t.Errorf("tcprules says %q and exits with %d, want %q", out, status, want)
	}
	if s.contents(s.path("tcp.smtp.cdb")) != was {
		s.t.Error("the rules in force are not what they were")
	}
}
