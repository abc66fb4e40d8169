package remote

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/nexthop"
	"quail/internal/sasl"
	"quail/internal/tlsbinding"
)

// secret is the one of every user whose name begins with "joe".
const secret = "tops: ecret"

func (s *sink) Password(user, password string) (string, error) {
	if !strings.HasPrefix(user, "joe") || password != secret {
		return "", sasl.ErrWrong
	}
	return user, nil
}

func (s *sink) Digest(user, challenge, digest string) (string, error) {
	if digest != sasl.CRAM(secret, challenge) {
		return "", sasl.ErrWrong
	}
	return s.Password(user, secret)
}

func (s *sink) Secret(user string) (login, shared string, err error) {
	login, err = s.Password(user, secret)
	return login, secret, err
}

func (s *sink) Verifier(user, hash string) (string, sasl.Verifier, error) {
	v, err := sasl.NewVerifier(hash, secret, []byte("a salt"), 4096)
	if err != nil {
		return "", v, err
	}
	login, err := s.Password(user, secret)
	return login, v, err
}

// options are those of a server that is what it says.
func (s *sink) options(c *caller) sasl.Options {
	o := sasl.Options{Realm: "me", Now: time.Now().Unix(), PID: 1, TLS: true}
	rand.Read(o.Random[:])
	if c.secure != nil && strings.Contains(s.mechanisms, "plus") {
		state := c.secure.ConnectionState()
		o.Bindings = tlsbinding.Of(&state, s.tls.Certificates[0].Leaf)
	}
	return o
}

// relay is a Remote that logs in at the sink as joe.
func (s *sink) relay(t *testing.T, policy string, controls map[string]string) *Remote {
	t.Helper()
	all := map[string]string{
		"smtproutes":    fmt.Sprintf(":127.0.0.1:%d joe@me.test\n", s.port),
		"tlsroutes":     ":" + policy + "\n",
		"remotesecrets": "127.0.0.1:joe@me.test:" + secret + "\n",
	}
	for name, contents := range controls {
		all[name] = contents
	}
	r := s.keeping(t, all)
	private(t)
	return r
}

// private gives the file of secrets its mode.
func private(t *testing.T) {
	t.Helper()
	if err := os.Chmod(conf.Home+"/control/remotesecrets", 0o400); err != nil {
		t.Fatal(err)
	}
}

const refused = "ZConnected to 127.0.0.1 but it refused the secret of joe@me.test at 127.0.0.1 in control/remotesecrets.\nRemote host said: 535 wrong\n\x00"

// The strongest mechanism that is offered is used, where there is TLS and where there
// is not; no mail goes without.
func TestMechanisms(t *testing.T) {
	a := authority(t)
	all := sasl.Mechanisms()
	for _, policy := range []string{"verify", "none"} {
		for i := range all {
			s := (&sink{tls: serving(a.issue(t, time.Hour, "127.0.0.1")), mechanisms: strings.ToLower(strings.Join(reversed(all[i:]), " "))}).start(t)
			s.users = s.options
			r := s.relay(t, policy, map[string]string{"tlscas": a.pem})
			want := all[i]
			if policy == "none" {
				want = all[max(i, 2)] // without a connection to be bound to
			}
			age(t)
			report := one(t, r, "c@d")
			if policy == "none" && (all[i] == "PLAIN" || all[i] == "LOGIN") {
				if len(s.delivered()) > 0 || strings.Contains(s.said(0), "AUTH") || !strings.HasPrefix(report, "ZConnected to 127.0.0.1 but of its mechanisms none will do: ") {
					t.Errorf("offered %s in plain text: %q", s.mechanisms, report)
				}
				continue
			}
			d := s.delivered()
			if !strings.Contains(report, "K127.0.0.1 accepted") || len(d) != 1 || d[0].login != "joe@me.test" || !strings.Contains(s.said(0), "AUTH "+want+"|MAIL") {
				t.Errorf("%s, offered %s: %q, said %q", policy, s.mechanisms, report, s.said(0))
			}
			// The session goes on being that user's.
			if one(t, r, "e@f"); s.sessions() != 1 || len(s.delivered()) != 2 || s.delivered()[1].login != "joe@me.test" {
				t.Errorf("%s: a second message by session %d, %v", want, s.sessions(), s.delivered())
			}
			r.Keep.pool.end()
			// By itself, the same; and with another secret nothing.
			r.Keep = nil
			if cold := one(t, r, "c@d"); cold != report {
				t.Errorf("%s: by itself: %q, else %q", want, cold, report)
			}
			file := conf.Home + "/control/remotesecrets"
			if err := errors.Join(os.Remove(file), os.WriteFile(file, []byte("127.0.0.1:joe@me.test:other\n"), 0o400)); err != nil {
				t.Fatal(err)
			}
			if report := one(t, r, "c@d"); report != refused {
				t.Errorf("%s: with another secret: %q", want, report)
			}
		}
	}
}

func reversed(s []string) []string {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

// Mail waits where there is no secret that may be used, and nobody is called.
func TestNoSecret(t *testing.T) {
	const file = "127.0.0.1:joe@me.test:" + secret + "\n"
	for _, c := range []struct {
		contents string
		mode     os.FileMode
		want     string
	}{
		{file, 0o404, "ZUnable to use control/remotesecrets: others than its owner may read it: its mode should be 0400. (#4.3.0)\n\x00"},
		{file, 0o640, "ZUnable to use control/remotesecrets: others than its owner may read it: its mode should be 0400. (#4.3.0)\n\x00"},
		{"127.0.0.1:joe:x\nother:joe@me.test:x\n", 0o400, "ZThere is no secret in control/remotesecrets for joe@me.test at 127.0.0.1, which control/smtproutes names. (#4.3.0)\n\x00"},
		{"", 0o400, "ZThere is no secret in control/remotesecrets for joe@me.test at 127.0.0.1, which control/smtproutes names. (#4.3.0)\n\x00"},
		{"127.0.0.1:joe@me.test:\n", 0o400, "ZThere is no secret in control/remotesecrets for joe@me.test at 127.0.0.1, which control/smtproutes names. (#4.3.0)\n\x00"},
	} {
		s := (&sink{mechanisms: "PLAIN"}).start(t)
		s.users = s.options
		r := s.relay(t, "none", map[string]string{"remotesecrets": c.contents})
		path := conf.Home + "/control/remotesecrets"
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if report := one(t, r, "c@d"); report != c.want || s.sessions() != 0 {
			t.Errorf("%q, mode %v: %d sessions, %q", c.contents, c.mode, s.sessions(), report)
		}
		if err := os.Remove(path); err != nil || os.Mkdir(path, 0o700) != nil {
			t.Fatal(err)
		}
		if report := one(t, r, "c@d"); report != "ZUnable to read control/remotesecrets: it has to belong to qmailr, with mode 0400. (#4.3.0)\n\x00" {
			t.Errorf("a file that cannot be read: %q", report)
		}
	}
}

// A route with a user means verify unless a line says otherwise: a password is for
// nobody without a name.
func TestUserMeansVerify(t *testing.T) {
	a := authority(t)
	for _, good := range []bool{true, false} {
		s := &sink{tls: serving(a.issue(t, time.Hour, map[bool]string{true: "127.0.0.1", false: "127.0.0.2"}[good])), mechanisms: "PLAIN"}
		s.users = s.options
		s.start(t)
		r := s.relay(t, "", map[string]string{"tlsroutes": "", "tlscas": a.pem})
		if report := one(t, r, "c@d"); strings.Contains(report, "K127.0.0.1") != good || strings.Contains(s.said(0), "AUTH") != good {
			t.Errorf("with the right name %v: %q, said %s", good, report, s.said(0))
		}
	}
}

var answerToB = base64.StdEncoding.EncodeToString([]byte("joe@me.test " + sasl.CRAM(secret, "b")))

// logins are what servers answer to AUTH PLAIN and more, and what is reported.
var logins = []struct {
	name   string
	offers string
	server script // behind EHLO
	want   string
}{
	{"none offered", "250 me\r\n", nil, "ZConnected to 127.0.0.1 but it offers no AUTH, so I can't log in as joe@me.test at 127.0.0.1. (#4.7.0)\n\x00"},
	{"none that will do", "250 AUTH PLAIN X\x1bY\r\n", nil, "ZConnected to 127.0.0.1 but of its mechanisms none will do: PLAIN X?Y (without TLS), so I can't log in as joe@me.test at 127.0.0.1. (#4.7.0)\n\x00"},
	{"refused at once", "250 AUTH CRAM-MD5\r\n", script{"<AUTH CRAM-MD5\r\n", ">535-no\r\n535 never\r\n"},
		"ZConnected to 127.0.0.1 but it refused the secret of joe@me.test at 127.0.0.1 in control/remotesecrets.\nRemote host said: 535-no\n535 never\n\x00"},
	{"later", "250 AUTH CRAM-MD5\r\n", script{"<AUTH CRAM-MD5\r\n", ">454 later\r\n"},
		"ZConnected to 127.0.0.1 but it refused the secret of joe@me.test at 127.0.0.1 in control/remotesecrets.\nRemote host said: 454 later\n\x00"},
	{"yes to nothing", "250 AUTH CRAM-MD5\r\n", script{"<AUTH CRAM-MD5\r\n", ">235 welcome\r\n"},
		"ZConnected to 127.0.0.1 but it agreed to CRAM-MD5 without knowing the secret, so I can't log in as joe@me.test at 127.0.0.1. (#4.7.0)\n\x00"},
	{"250 is no yes", "250 AUTH CRAM-MD5\r\n", script{"<AUTH CRAM-MD5\r\n", ">250 welcome\r\n"},
		"ZConnected to 127.0.0.1 but it refused the secret of joe@me.test at 127.0.0.1 in control/remotesecrets.\nRemote host said: 250 welcome\n\x00"},
	{"no base64", "250 AUTH CRAM-MD5\r\n", script{"<AUTH CRAM-MD5\r\n", ">334 ?\r\n", "<*\r\n", ">501 cancelled\r\n"},
		"ZConnected to 127.0.0.1 but CRAM-MD5 makes no sense as it speaks it, so I can't log in as joe@me.test at 127.0.0.1. (#4.7.0)\n\x00"},
	{"overlong", "250 AUTH CRAM-MD5\r\n", script{"<AUTH CRAM-MD5\r\n", ">334 " + strings.Repeat("aaaa", 5000) + "\r\n", "<*\r\n", ">501 cancelled\r\n"},
		"ZConnected to 127.0.0.1 but CRAM-MD5 makes no sense as it speaks it, so I can't log in as joe@me.test at 127.0.0.1. (#4.7.0)\n\x00"},
	{"asks again", "250 AUTH CRAM-MD5\r\n", script{"<AUTH CRAM-MD5\r\n", ">334 Yg==\r\n",
		"<" + answerToB + "\r\n", ">334 Yg==\r\n", "<*\r\n", ">501 cancelled\r\n"},
		"ZConnected to 127.0.0.1 but CRAM-MD5 makes no sense as it speaks it, so I can't log in as joe@me.test at 127.0.0.1. (#4.7.0)\n\x00"},
	// Logs and bounces had the password of a relay that says what it has not understood.
	{"repeats the answer", "250 AUTH CRAM-MD5\r\n", script{"<AUTH CRAM-MD5\r\n", ">334 Yg==\r\n", "<" + answerToB + "\r\n", ">500 unknown: " + answerToB + " (" + answerToB[:30] + "), " + secret + "\r\n"},
		"ZConnected to 127.0.0.1 but it refused the secret of joe@me.test at 127.0.0.1 in control/remotesecrets.\nRemote host said: 500 unknown: *** (***), ***\n\x00"},
	{"closed", "250 AUTH CRAM-MD5\r\n", script{"<AUTH CRAM-MD5\r\n", "CLOSE"}, died},
	{"closed in the middle", "250 AUTH CRAM-MD5\r\n", script{"<AUTH CRAM-MD5\r\n", ">334 Yg", "CLOSE"}, died},
}

func TestLogins(t *testing.T) {
	for _, c := range logins {
		server := then(script{">220 hi\r\n", "<EHLO me.test\r\n", ">250-me\r\n" + c.offers}, c.server...)
		for _, kept := range []bool{false, true} {
			port, result := server.listen(t, "127.0.0.1:0")
			home(t, map[string]string{
				"smtproutes":    fmt.Sprintf(":127.0.0.1:%d joe@me.test\n", port),
				"tlsroutes":     ":none\n",
				"remotesecrets": "127.0.0.1:joe@me.test:" + secret + "\n",
				"timeoutremote": "2\n",
			})
			private(t)
			r := nowhere()
			if kept {
				r.Keep = new(Keep)
			}
			if got := run(t, r, "hi\n", "x.test", "a@b", "c@d"); got != c.want {
				t.Errorf("%s: reports\n%q, want\n%q", c.name, got, c.want)
			}
			if complaint := result(); complaint != "" {
				t.Errorf("%s: client: %s", c.name, complaint)
			}
		}
	}
}

// A first message that makes the command too long is sent as an answer.
func TestLongSecret(t *testing.T) {
	long := strings.Repeat("x", 400)
	for _, c := range []struct{ user, want string }{
		{"joe", "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00joe\x00"+secret)) + "\r\n"},
		{long[:200], "AUTH PLAIN\r\n"},
	} {
		shared := secret
		if len(c.user) > 3 {
			shared = long
		}
		name, client, err := sasl.NewClient([]string{"PLAIN"}, c.user, shared, sasl.ClientOptions{TLS: true})
		if err != nil {
			t.Fatal(err)
		}
		command, rest, err := begin(name, client)
		if command != c.want || err != nil || (rest != nil) != (command == "AUTH PLAIN\r\n") {
			t.Errorf("%.10s: %q, %q, %v, want %q", c.user, command, rest, err, c.want)
		}
	}
}

// Sessions are for mail of one user at a relay.
func TestUsersApart(t *testing.T) {
	s := (&sink{mechanisms: "SCRAM-SHA-256"}).start(t)
	s.users = s.options
	var routes, secrets strings.Builder
	var list []errand
	for i := range 4 {
		fmt.Fprintf(&routes, "x%d.test:127.0.0.1:%d joe%d\n", i, s.port, i)
		fmt.Fprintf(&secrets, "127.0.0.1:joe%d:%s\n", i, secret)
		for range 8 {
			list = append(list, errand{fmt.Sprintf("x%d.test", i), fmt.Sprintf("joe%d", i), "c@d"})
		}
	}
	fmt.Fprintf(&routes, ":127.0.0.1:%d\n", s.port)
	for range 8 {
		list = append(list, errand{"y.test", "", "c@d"})
	}
	r := s.keeping(t, map[string]string{"smtproutes": routes.String(), "remotesecrets": secrets.String(), "tlsroutes": ":none\n", "remotelimits": ":2\n"})
	private(t)
	for i, report := range deliver(t, r, "hi\n", list...) {
		if report != fine {
			t.Errorf("%v: %q", list[i], report)
		}
	}
	arrived := 0
	for _, d := range s.delivered() {
		if d.sender != "<"+d.login+">" {
			t.Errorf("mail of %s by a session of %q", d.sender, d.login)
		}
		arrived += len(d.to)
	}
	if arrived != len(list) {
		t.Errorf("%d of %d arrived", arrived, len(list))
	}
}

// Whatever a server answers to a login: no secret is shown where others read, and yes
// is believed only after 235 and a mechanism that was gone through.
func FuzzLogin(f *testing.F) {
	for _, says := range []string{
		"334 Yg==\r\n235 ok\r\n", "235 ok\r\n", "334 cj0=\r\n334 dj0=\r\n235 \r\n", "334 \r\n501 \r\n", "535 no\r\n", "334-a\r\n334 b\r\n", "",
		"334 " + base64.StdEncoding.EncodeToString([]byte(`realm="x",nonce="y",qop="auth",algorithm=md5-sess,charset=utf-8`)) + "\r\n334 \r\n235 ok\r\n",
	} {
		f.Add([]byte(says), "CRAM-MD5 PLAIN LOGIN")
		f.Add([]byte(says), "DIGEST-MD5")
		f.Add([]byte(says), "SCRAM-SHA-1 SCRAM-SHA-256-PLUS")
	}
	f.Fuzz(func(t *testing.T, says []byte, offers string) {
		here, there := net.Pipe()
		go func() {
			there.Write(says)
			there.Close()
		}()
		heard := &tap{Conn: here}
		s := newSession(heard, "me.test", time.Minute, time.Now)
		s.in = bufio.NewReader(s)
		s.auth = strings.Fields(offers)
		s.target = nexthop.Target{Host: "relay.test", User: "joe"}
		s.terms = terms{name: "relay.test", user: "joe", secret: secret}
		v, err := s.login()
		here.Close()
		sent := heard.sent.String()
		if shows(sent) {
			t.Errorf("the secret is shown: %q", sent)
		}
		if v == "" && err == nil && (!bytes.Contains(says, []byte("235")) || strings.Count(sent, "\n") < 2) {
			t.Errorf("logged in by %q after %q", says, sent)
		}
		if v != "" && (v[0] != 'Z' || !strings.HasSuffix(string(v), "\n") && len(v) < maxReply || strings.Contains(string(v), "\x00")) {
			t.Errorf("not in form: %q", v)
		}
	})
}

// Whatever a server says at the beginning: by a policy that insists on TLS nothing but
// hello and STARTTLS is ever said in plain text, and the session comes to nothing.
func FuzzGreet(f *testing.F) {
	for _, says := range []string{
		"220 hi\r\n250-me\r\n250 STARTTLS\r\n220 go\r\n", "220 hi\r\n250-me\r\n250 STARTTLS\r\n220 go\r\n250-me\r\n250 AUTH PLAIN\r\n235 ok\r\n",
		"220 hi\r\n250 me\r\n", "220 hi\r\n502 \r\n250 me\r\n", "220 hi\r\n250-me\r\n250 STARTTLS\r\n454 no\r\n", "220 hi\r\n250-me\r\n250 STARTTLS\r\n220 go\r\n\x16\x03\x03\x00\x02",
		"\x15\x03\x01\x00\x02\x02\x28", "",
	} {
		for policy := range 5 {
			f.Add([]byte(says), uint8(policy))
		}
	}
	f.Fuzz(func(t *testing.T, says []byte, policy uint8) {
		here, there := net.Pipe()
		go func() {
			there.Write(says)
			there.Close()
		}()
		heard := &tap{Conn: here}
		s := newSession(heard, "me.test", time.Minute, time.Now)
		s.terms = terms{name: "relay.test", tls: nexthop.Policy(policy % 5), user: "joe", secret: secret}
		v, err := s.greet()
		here.Close()
		sent := heard.sent.String()
		if s.terms.tls.Insists() && v == "" && err == nil {
			t.Errorf("policy %v: begun by %q", s.terms.tls, says)
		}
		plain, _, _ := strings.Cut(sent, "STARTTLS\r\n")
		if shows(sent) || s.terms.tls.Insists() && strings.Contains(plain, "AUTH") {
			t.Errorf("policy %v: sent %q", s.terms.tls, sent)
		}
		if s.terms.tls == nexthop.Implicit && strings.Contains(sent, "EHLO") {
			t.Errorf("sent %q before TLS", sent)
		}
	})
}

// shows reports whether the secret can be read in what was sent.
func shows(sent string) bool {
	for _, word := range strings.Fields(sent) {
		b, err := base64.StdEncoding.DecodeString(word)
		if strings.Contains(word, secret) || err == nil && bytes.Contains(b, []byte(secret)) {
			return true
		}
	}
	return false
}
