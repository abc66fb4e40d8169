package suite

import (
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// lists are zones that say who is not welcome, and who is.
const lists = `$ORIGIN .
$TTL 60
@ SOA ns.test. root.test. 1 60 60 60 60
@ NS ns.test.
ns.test A 192.0.2.53
` + "10.2.0.192.bad.test TXT \"192.0.2.10 is \" \"bad\"\n" +
	"10.2.0.192.bad.test A 127.0.0.2\n" +
	"10.2.0.192.good.test A 127.0.0.2\n" +
	"10.2.0.192.odd.test TXT \"tab\\009quote\\\"\\200\"\n" +
	"0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bad.test TXT \"six\"\n" +
	"broken.test NS ns.test.\n"

// Clients are refused as lists at a real name server have it, and as ucspi-tcp's rblsmtpd
// would. Where all is warm, so is what follows in the chain.
func TestBlockLists(t *testing.T) {
	s, network, ok := named(t, lists, "options timeout:2 attempts:1\n")
	if !ok {
		return
	}
	s.start()
	for _, host := range []string{myself, "2001:db8::1"} {
		s.spawn(s.log, nil, "bin/tcpserver", "-RHl0", "-u", account(t, "passwd", "qmaild"), "-g", account(t, "group", "nofiles"), host, "25",
			s.path("bin/rblsmtpd"), "-b", "-r", "none.test", "-r", "bad.test", s.path("bin/qmail-smtpd"))
	}
	for _, c := range []struct{ from, to, want string }{
		{accepts4, myself + ":25", "553 192.0.2.10 is bad"},
		{refuses, myself + ":25", ""},
		{accepts6, "[2001:db8::1]:25", "553 six"},
	} {
		if got := network.visit(t, c.from, c.to); got != c.want {
			t.Errorf("%s was told %q, want %q", c.from, got, c.want)
		}
	}
	s.settled(1)
	find(t, s.mail("u/joe/Maildir"), "\nReceived: from unknown (HELO client.example) ("+refuses+")\n")
	s.sameDecisions(network)
}

// visit sends a message from one address to another, and returns why that failed.
func (n network) visit(t *testing.T, from, to string) (refusal string) {
	t.Helper()
	eventually(t, "tcpserver at "+to, func() (met bool) {
		n.there.do(func() error {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			conn, err := dialer.Dial("tcp", to)
			if err != nil {
				return nil
			}
			defer conn.Close()
			met = true
			client, err := smtp.NewClient(conn, "here.test")
			if err != nil {
				return err
			}
			err = session(client, "far@away.example", "joe@"+me, "Subject: listed?\n\n")
			var answer *textproto.Error
			if errors.As(err, &answer) {
				refusal, err = fmt.Sprintf("%d %s", answer.Code, answer.Msg), client.Quit()
			}
			return err
		})
		return met
	})
	return refusal
}

// sameDecisions has our rblsmtpd and the one of ucspi-tcp decide about the same clients.
func (s *suite) sameDecisions(n network) {
	s.t.Helper()
	other, ok := tool(s.t, "rblsmtpd")
	if !ok {
		return
	}
	for _, ip := range []string{accepts4, refuses, "", "not.an.address"} {
		var done sync.WaitGroup // the other one takes its time where a server is broken
		for _, options := range []string{
			"-r bad.test", "-b -r bad.test", "-r bad.test -b", "-bB -r bad.test", "-r none.test -r odd.test",
			"-a good.test -r bad.test", "-r bad.test -a good.test", "-a bad.test -r odd.test", "-a odd.test -r bad.test", "-r good.test",
			"-r broken.test", "-c -r broken.test", "-bc -r broken.test", "-b -r broken.test -r bad.test", "-cC -r broken.test -r bad.test",
			"-a broken.test -r bad.test", "-c -a broken.test -r bad.test", "-bc -a broken.test -r bad.test", "-r ns.test",
		} {
			if strings.Contains(options, "broken") && ip != accepts4 {
				continue
			}
			done.Go(func() {
				ours, theirs := n.decide(s.path("bin/rblsmtpd"), ip, options), n.decide(other, ip, options)
				if ours != theirs {
					s.t.Errorf("%q, rblsmtpd %s: %q, and ucspi-tcp's says %q", ip, options, ours, theirs)
				}
			})
		}
		done.Wait()
	}
}

// decide returns what a rblsmtpd says and does about a client.
func (n network) decide(program, ip, options string) string {
	args := append(n.here.enter(), "env", "TCPREMOTEIP="+ip, program, "-t0")
	args = append(append(args, strings.Fields(options)...), "echo", "welcome")
	out, err := run(args[0], args[1:]...)
	if err != nil {
		out += err.Error()
	}
	return regexp.MustCompile(`pid \d+`).ReplaceAllString(out, "pid #")
}
