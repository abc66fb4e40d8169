package remote

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/dnstest"
	"quail/internal/resolve"
)

// issuer makes certificates, its own by itself.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func authority(t testing.TB) *issuer {
	t.Helper()
	a := &issuer{}
	made := a.issue(t, time.Hour, "authority")
	a.key = made.PrivateKey.(*ecdsa.PrivateKey)
	a.cert = made.Leaf
	a.pem = pemOf(made)
	return a
}

func pemOf(c tls.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
}

// issue makes a certificate for names and addresses that is good for so long.
func (a *issuer) issue(t testing.TB, life time.Duration, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	parent, signer := a.cert, a.key
	if signer == nil {
		parent, signer = c, key
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// serving is a TLS server's settings.
func serving(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }

// encounter is a server and what becomes of mail to it by each policy: "plain" or
// "tls", by how it arrived, or the text by which it waits. note is what the report on
// success says of mail that should have gone by TLS and has not.
type encounter struct {
	name                       string
	server                     *sink
	none, may, require, verify string
	note                       string
}

// encounters are all servers that there are.
func encounters(t *testing.T, a *issuer) []encounter {
	good := a.issue(t, time.Hour, "127.0.0.1")
	own := (&issuer{}).issue(t, time.Hour, "127.0.0.1")
	old := serving(good)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	const offers, failed = "it offers no TLS", "TLS failed: "
	return []encounter{
		{"none", &sink{}, "plain", "plain", offers, offers, ""},
		{"helo", &sink{answer: func(_ *caller, command string) string {
			if strings.HasPrefix(command, "EHLO") {
				return "502 what?\r\n"
			}
			return ""
		}}, "plain", "plain", offers, offers, ""},
		{"works", &sink{tls: serving(good)}, "plain", "tls", "tls", "tls", ""},
		{"name", &sink{tls: serving(a.issue(t, time.Hour, "127.0.0.2", "mx.test"))}, "plain", "tls", "tls", failed + "tls: failed to verify certificate: x509: certificate is valid for 127.0.0.2, not 127.0.0.1", ""},
		{"evil", &sink{tls: serving(a.issue(t, time.Hour, "x\r\nK\x00.test"))}, "plain", "tls", "tls", failed, ""},
		{"expired", &sink{tls: serving(a.issue(t, -time.Hour, "127.0.0.1"))}, "plain", "tls", "tls", failed + "tls: failed to verify certificate: x509: certificate has expired", ""},
		{"self", &sink{tls: serving(own)}, "plain", "tls", "tls", failed + "tls: failed to verify certificate: x509: certificate signed by unknown authority", ""},
		{"old", &sink{tls: old}, "plain", "plain", failed + "remote error: tls: protocol version", failed, "failed: remote error: tls: protocol version not supported"},
		{"hangs", &sink{tls: serving(good), trick: "hang"}, "plain", "plain", failed, failed, "failed: "},
		{"injects", &sink{tls: serving(good), trick: "inject"}, "plain", "plain", failed + "the server goes on in plain text", failed + "the server goes on in plain text", "failed: the server goes on"},
		{"late", &sink{tls: serving(good), trick: "inject late"}, "plain", "plain", failed + "tls: first record does not look like a TLS handshake", failed, "failed: tls: first record"},
		{"closes", &sink{tls: serving(good), trick: "close"}, "plain", "plain", failed + "EOF", failed + "EOF", "failed: EOF"},
		{"leaves", &sink{tls: serving(good), trick: "421 bye"}, "plain", "plain", "it refused STARTTLS", "it refused STARTTLS", "failed: the server has refused it"},
		{"refuses", &sink{tls: serving(good), trick: "454 later"}, "plain", "plain", "it refused STARTTLS", "it refused STARTTLS", "Sent without TLS: the server has refused it.\n"},
		{"forgets", &sink{tls: serving(good), trick: "forget"}, "plain", "connection died", "connection died", "connection died", ""},
	}
}

// wants is what becomes of mail by a policy.
func (e encounter) wants(policy string) string {
	return map[string]string{"none": e.none, "may": e.may, "require": e.require, "verify": e.verify}[policy]
}

// Every policy meets every server, cold and warm; all of them at once, since some let
// one wait.
func TestPolicies(t *testing.T) {
	a := authority(t)
	for _, warm := range []bool{false, true} {
		servers := encounters(t, a)
		var smtp, tls strings.Builder
		for _, e := range servers {
			e.server.start(t)
			fmt.Fprintf(&smtp, ".%s.test:127.0.0.1:%d\n", e.name, e.server.port)
		}
		policies := []string{"none", "may", "require", "verify"}
		for _, policy := range policies {
			for _, e := range servers {
				fmt.Fprintf(&tls, "%s.%s.test:%s\n", policy, e.name, policy)
			}
		}
		home(t, map[string]string{"smtproutes": smtp.String(), "tlsroutes": tls.String(), "tlscas": a.pem, "timeoutremote": "1\n"})
		r := nowhere()
		if warm {
			r.Keep = new(Keep)
		}
		p, _ := job(t, "hi\n")
		var all sync.WaitGroup
		for _, policy := range policies {
			for _, e := range servers {
				all.Go(func() {
					report := perform(t, r, p.Stdin.Name(), 1, errand{policy + "." + e.name + ".test", policy + "@b", "c@d"})
					e.judge(t, policy, report)
				})
			}
		}
		all.Wait()
		if warm {
			r.Keep.pool.end()
		}
	}
}

// judge compares what has become of one mail with what was to become of it.
func (e encounter) judge(t *testing.T, policy, report string) {
	got, want := "", e.wants(policy)
	for _, d := range e.server.delivered() {
		if d.sender == "<"+policy+"@b>" {
			got = map[bool]string{false: "plain", true: "tls"}[d.secure]
		}
	}
	arrives := want == "plain" || want == "tls"
	switch {
	case arrives && got != want:
		t.Errorf("%s, policy %s: arrived %q, want %q: %q", e.name, policy, got, want, report)
	case !arrives && (got != "" || report[0] != 'Z' || !strings.Contains(report, want)):
		t.Errorf("%s, policy %s: arrived %q, want Z and %q: %q", e.name, policy, got, want, report)
	case strings.Count(report, "\x00") != strings.Count(report, "r\x00")+1 || strings.ContainsAny(report, "\r\t\x1b"):
		t.Errorf("%s, policy %s: not in form: %q", e.name, policy, report)
	}
	note := ""
	switch {
	case want == "tls" && policy == "verify":
		note = ", certificate of 127.0.0.1 is right.\n\x00"
	case want == "tls":
		note = "certificate not checked.\n\x00"
	case want == "plain" && policy == "may":
		note = e.note
	}
	if arrives && note == "" && report != fine || !strings.Contains(report, note) {
		t.Errorf("%s, policy %s: reports %q, want %q in it", e.name, policy, report, note)
	}
}

// What was said before TLS counts no more: EHLO comes again, and what is offered then
// is what there is.
func TestHelloAgain(t *testing.T) {
	s := &sink{tls: serving(authority(t).issue(t, time.Hour, "x.test"))}
	s.answer = func(c *caller, command string) string {
		switch {
		case !strings.HasPrefix(command, "EHLO"):
			return ""
		case c.secure != nil:
			return "250 me\r\n"
		}
		return "250-me\r\n250-PIPELINING\r\n250-SIZE\r\n250 STARTTLS\r\n"
	}
	r := s.start(t).keeping(t, map[string]string{"tlsroutes": ":require\n"})
	report := one(t, r, "c@d")
	if !strings.HasPrefix(report, strings.TrimSuffix(fine, "\x00")+"TLSv1.3 TLS_") {
		t.Errorf("reports %q", report)
	}
	if got, want := s.said(0), "|EHLO me.test|STARTTLS|TLS|EHLO me.test|MAIL FROM:<a@b>|RCPT TO:<c@d>|DATA|."; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
	if s.early != 0 {
		t.Error("commands went in groups")
	}
	// By itself, the same.
	r.Keep.pool.end()
	r.Keep = nil
	if cold := one(t, r, "c@d"); cold != report {
		t.Errorf("by itself: %q", cold)
	}
}

// TLS from the first byte, whose certificate is always looked at.
func TestImplicit(t *testing.T) {
	a := authority(t)
	for _, c := range []struct {
		server *sink
		want   string
	}{
		{&sink{implicit: true, tls: serving(a.issue(t, time.Hour, "127.0.0.1"))}, "certificate of 127.0.0.1 is right.\n"},
		{&sink{implicit: true, tls: serving(a.issue(t, time.Hour, "127.0.0.2"))}, "x509: certificate is valid for 127.0.0.2, not 127.0.0.1. (#4.7.5)\n"},
		{&sink{}, "TLS failed: tls: first record does not look like a TLS handshake. (#4.7.5)\n"},
	} {
		r := c.server.start(t).keeping(t, map[string]string{"tlsroutes": "x.test:implicit\n", "tlscas": a.pem})
		if report := one(t, r, "c@d"); !strings.HasSuffix(report, c.want+"\x00") {
			t.Errorf("reports %q, want %q", report, c.want)
		}
		if d := c.server.delivered(); len(d) > 0 && !d[0].secure {
			t.Error("mail went in plain text")
		}
	}
}

// Whose certificates count: those of control/tlscas, a server's own among them; and
// what is wrong with that file is said before anybody is called.
func TestTrust(t *testing.T) {
	own := (&issuer{}).issue(t, time.Hour, "127.0.0.1")
	s := (&sink{tls: serving(own)}).start(t)
	for cas, want := range map[string]string{
		pemOf(own):         "certificate of 127.0.0.1 is right",
		authority(t).pem:   "certificate signed by unknown authority",
		"":                 "ZThere is no certificate in control/tlscas. (#4.3.0)\n",
		"no certificate\n": "ZThere is no certificate in control/tlscas. (#4.3.0)\n",
	} {
		r := s.keeping(t, map[string]string{"tlsroutes": "x.test:verify\n", "tlscas": cas})
		if report := one(t, r, "c@d"); !strings.Contains(report, want) {
			t.Errorf("%.30q: reports %q, want %q", cas, report, want)
		}
	}
	// Without it the system's count, among which no authority of a test is.
	r := s.keeping(t, map[string]string{"tlsroutes": "x.test:verify\n"})
	report := one(t, r, "c@d")
	if _, err := os.Stat(bundle()); err == nil && !strings.Contains(report, "certificate signed by unknown authority") {
		t.Errorf("with the authorities of the system: %q", report)
	} else if err != nil && !strings.Contains(report, "ZUnable to read "+bundle()) {
		t.Errorf("on a system without authorities: %q", report)
	}
	// A change counts for the next mail, also where there is a session.
	r = s.keeping(t, map[string]string{"tlsroutes": "x.test:verify\n", "tlscas": pemOf(own)})
	age(t)
	before := s.sessions()
	for range 3 {
		if report := one(t, r, "c@d"); !strings.Contains(report, "is right") {
			t.Errorf("reports %q", report)
		}
	}
	if n := s.sessions() - before; n != 1 {
		t.Errorf("three messages by %d sessions", n)
	}
	if err := os.WriteFile(conf.Home+"/control/tlscas", []byte(authority(t).pem), 0o644); err != nil {
		t.Fatal(err)
	}
	if report := one(t, r, "c@d"); !strings.Contains(report, "unknown authority") {
		t.Errorf("after a change: %q", report)
	}
}

// Mail that waited for a session once got one that had begun before its control files
// changed: by whose certificate nobody trusted any more.
func TestTrustOfWaiting(t *testing.T) {
	for _, at := range []string{"DATA", "."} { // the next transaction may be begun ahead, or not
		own := (&issuer{}).issue(t, time.Hour, "127.0.0.1")
		other := authority(t).pem
		s := &sink{tls: serving(own)}
		var r *Remote
		second := make(chan string, 1)
		s.answer = func(c *caller, command string) string {
			if command == at && c.mails == 1 && c.number == 0 {
				if err := os.WriteFile(conf.Home+"/control/tlscas", []byte(other), 0o644); err != nil {
					t.Error(err)
				}
				go func() { second <- one(t, r, "e@f") }()
				awaitWaiting(t, &r.Keep.pool)
			}
			return ""
		}
		r = s.start(t).keeping(t, map[string]string{"tlsroutes": "x.test:verify\n", "tlscas": pemOf(own), "remotelimits": "127.0.0.1:1\n"})
		if report := one(t, r, "c@d"); !strings.Contains(report, "is right") {
			t.Errorf("%s: reports %q", at, report)
		}
		if report := <-second; !strings.Contains(report, "unknown authority") {
			t.Errorf("%s: after a change: %q", at, report)
		}
	}
}

// awaitWaiting returns when somebody waits for a session.
func awaitWaiting(t *testing.T, p *pool) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		waiting := 0
		p.mu.Lock()
		for _, h := range p.hosts {
			waiting += len(h.waiting)
		}
		p.mu.Unlock()
		if waiting > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Error("nobody waits for a session")
			return
		}
	}
}

// age has control files look as if they had been at rest for long.
func age(t *testing.T) {
	t.Helper()
	past := time.Now().Add(-time.Hour)
	for _, name := range files {
		if err := os.Chtimes(filepath.Join(conf.Home, "control", name), past, past); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// A line of tlsroutes that makes no sense stops mail, by words that say which.
func TestPoliciesMalformed(t *testing.T) {
	s := (&sink{}).start(t)
	r := s.keeping(t, map[string]string{"tlsroutes": "x.test:verify\ny.test required\n"})
	want := "Zcontrol/tlsroutes: \"y.test required\" is not HOST:POLICY with one of implicit, may, none, require, verify. (#4.3.0)\n\x00"
	if report := one(t, r, "c@d"); report != want || s.sessions() != 0 {
		t.Errorf("reports %q, want %q", report, want)
	}
}

// A certificate has to have the name of the mail exchanger that has the address, not of
// the domain nor of another mail exchanger.
func TestExchangersName(t *testing.T) {
	a := authority(t)
	s := (&sink{tls: serving(a.issue(t, time.Hour, "good.test"))}).start(t)
	server := dnstest.Zone(t, `
a.test. MX 10 good.test.
b.test. MX 10 bad.test.
good.test. A 127.0.0.1
bad.test. A 127.0.0.1
`, nil)
	home(t, map[string]string{"tlsroutes": ":verify\n", "tlscas": a.pem, "timeoutremote": "5\n"})
	r := nowhere()
	r.Resolver = &resolve.Resolver{Config: server.Config, Port: server.Port}
	r.Port = s.port
	for host, want := range map[string]string{
		"a.test":    "certificate of good.test is right",
		"b.test":    "certificate is valid for good.test, not bad.test",
		"good.test": "certificate of good.test is right",
	} {
		if report := run(t, r, "hi\n", host, "a@b", "c@"+host); !strings.Contains(report, want) {
			t.Errorf("%s: reports %q, want %q", host, report, want)
		}
	}
}

// Sessions are for mail of one policy, however much of each comes at once, and go from
// message to message under TLS as they do without.
func TestPoliciesApart(t *testing.T) {
	a := authority(t)
	for _, limits := range []string{"", "127.0.0.1:1\n"} {
		s := (&sink{tls: serving(a.issue(t, time.Hour, "127.0.0.1"))}).start(t)
		policies := []string{"none", "may", "require", "verify"}
		var smtp, tls bytes.Buffer
		for _, policy := range policies {
			fmt.Fprintf(&smtp, "%s.test:127.0.0.1:%d\n", policy, s.port)
			fmt.Fprintf(&tls, "%s.test:%s\n", policy, policy)
		}
		r := s.keeping(t, map[string]string{"smtproutes": smtp.String(), "tlsroutes": tls.String(), "tlscas": a.pem, "remotelimits": limits})
		age(t)
		const rounds = 8
		var list []errand
		for i := range rounds {
			for _, policy := range policies {
				list = append(list, errand{policy + ".test", fmt.Sprintf("%s-%d@b", policy, i), "c@d"})
			}
		}
		for i, report := range deliver(t, r, "hi\n", list...) {
			if !strings.Contains(report, "K127.0.0.1 accepted") {
				t.Errorf("%v: %q", list[i], report)
			}
		}
		policyOf := map[int]string{}
		for _, d := range s.delivered() {
			policy, _, _ := strings.Cut(strings.Trim(d.sender, "<>"), "-")
			if was := policyOf[d.session]; was != "" && was != policy {
				t.Errorf("session %d carried mail for %s and for %s", d.session, was, policy)
			}
			policyOf[d.session] = policy
			if d.secure != (policy != "none") {
				t.Errorf("mail for %s went by TLS: %v", policy, d.secure)
			}
		}
		if limits != "" && len(policyOf) != len(policies) {
			t.Errorf("%d sessions, want one for each of %d policies", len(policyOf), len(policies))
		}
		if got := len(s.delivered()); got != len(list) {
			t.Errorf("%d messages arrived, want %d", got, len(list))
		}
		r.Keep.pool.end()
	}
}

// A session that the server has ended meanwhile, or in which it has something to say,
// is found out under TLS too.
func TestAliveUnderTLS(t *testing.T) {
	s := (&sink{tls: serving(authority(t).issue(t, time.Hour, "x.test"))}).start(t)
	r := s.keeping(t, map[string]string{"tlsroutes": ":require\n"})
	for i, word := range []string{"421 bye\r\n", ""} {
		if report := one(t, r, "c@d"); !strings.Contains(report, "K127") {
			t.Fatalf("reports %q", report)
		}
		idle := func() *session {
			for _, h := range r.Keep.pool.hosts {
				return h.idle[0]
			}
			return nil
		}()
		if !idle.alive(time.Now()) {
			t.Error("a session that nothing has happened to is not alive")
		}
		s.mu.Lock()
		conn := s.calls[i].secure
		s.mu.Unlock()
		if word != "" {
			fmt.Fprint(conn, word)
		} else {
			conn.Close()
		}
		deadline := time.Now().Add(10 * time.Second)
		for idle.alive(time.Now()) {
			if time.Now().After(deadline) {
				t.Fatalf("the server has said %q, and the session passes for one that is of use", word)
			}
			time.Sleep(time.Millisecond)
		}
	}
	if report := one(t, r, "c@d"); !strings.Contains(report, "K127") || s.sessions() != 3 {
		t.Errorf("reports %q by session %d", report, s.sessions())
	}
}
