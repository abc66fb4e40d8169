package smtpd

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quail/internal/authwire"
	"quail/internal/conf"
	"quail/internal/sasl"
	"quail/internal/tlsbinding"
)

// each runs a test cold and warm, with a process of its own.
func each(t *testing.T, test func(t *testing.T, m manner)) {
	for _, m := range fresh() {
		t.Run(m.name, func(t *testing.T) { test(t, m) })
	}
}

// What is offered depends on TLS, on plaintextauth and on who is there.
func TestOffers(t *testing.T) { each(t, testOffers) }

func testOffers(t *testing.T, m manner) {
	const scram = "SCRAM-SHA-256 SCRAM-SHA-1 DIGEST-MD5 CRAM-MD5"
	withAll(t, nil)
	if got := strings.Join(m.greeted(t, peer, false).offers(), ","); got != "PIPELINING,STARTTLS,AUTH "+scram+",8BITMIME" {
		t.Errorf("in the clear: %s", got)
	}
	const secure = "PIPELINING,AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS " + scram + " PLAIN LOGIN,8BITMIME"
	if got := strings.Join(m.greeted(t, peer, true).offers(), ","); got != secure {
		t.Errorf("under TLS: %s", got)
	}
	if got := strings.Join(m.greeted(t, peer.With("FORCETLS", "1"), false).offers(), ","); got != "PIPELINING,STARTTLS,8BITMIME" {
		t.Errorf("with FORCETLS, in the clear: %s", got)
	}
	os.WriteFile(filepath.Join(conf.Home, "control/plaintextauth"), []byte("1\n"), 0o644)
	if got := strings.Join(m.greeted(t, peer, false).offers(), ","); got != "PIPELINING,STARTTLS,AUTH "+scram+" PLAIN LOGIN,8BITMIME" {
		t.Errorf("with plaintextauth: %s", got)
	}
}

// Each mechanism, with the initial response and without, in the clear and under TLS.
func TestMechanisms(t *testing.T) { each(t, testMechanisms) }

func testMechanisms(t *testing.T, m manner) {
	withAll(t, files{"plaintextauth": "1\n"})
	log := logged(t)
	for _, mechanism := range sasl.Mechanisms() {
		for _, secure := range []bool{false, true} {
			if strings.HasSuffix(mechanism, "-PLUS") && !secure {
				continue
			}
			for _, password := range []string{"secret", "Secret"} {
				c := m.greeted(t, peer, false)
				o := sasl.ClientOptions{Host: "mx.example", TLS: true}
				over := ""
				if secure {
					c.want("STARTTLS", "220 ")
					state := c.secure()
					over = " TLSv1.3"
					if strings.HasSuffix(mechanism, "-PLUS") { // else the client would find -PLUS missing
						o.Bindings = tlsbinding.Of(state, state.PeerCertificates[0])
					}
				}
				want, code := "logged in login=joe mechanism="+mechanism+over+"\n", "235 "
				if password != "secret" {
					want, code = "login failed mechanism="+mechanism+": wrong\n", "535 "
				}
				before := log()
				if got := c.login(mechanism, "joe", password, o); !strings.HasPrefix(got, code) {
					t.Errorf("%s, TLS %v, password %s: told %q, want %s", mechanism, secure, password, got, code)
				}
				if got := strings.TrimPrefix(log(), before); got != want {
					t.Errorf("%s: logged %q, want %q", mechanism, got, want)
				}
				c.conn.Close()
			}
		}
	}
}

// login goes through an exchange and returns the last reply.
func (c *client) login(mechanism, user, password string, o sasl.ClientOptions) string {
	_, exchange, err := sasl.NewClient([]string{mechanism}, user, password, o)
	if err != nil {
		c.t.Fatal(err)
	}
	first, err := exchange.Next(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	line := "AUTH " + strings.ToLower(mechanism)
	if first != nil {
		line += " " + base64.StdEncoding.EncodeToString(first)
	}
	reply := c.say(line)
	for strings.HasPrefix(reply, "334 ") {
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(reply[4:]))
		if err != nil {
			c.t.Fatal(err)
		}
		response, err := exchange.Next(challenge)
		if err != nil {
			return c.say("*")
		}
		reply = c.say(base64.StdEncoding.EncodeToString(response))
	}
	return reply
}

// A line of an exchange and the reply to it.
type exchanged struct{ say, reply string }

var exchanges = map[string][]exchanged{
	"initial response":       {{"AUTH PLAIN " + plain("joe", "secret"), "235 "}, {"AUTH PLAIN", "503 "}},
	"no initial response":    {{"AUTH PLAIN", "334 \r\n"}, {plain("joe", "secret"), "235 "}},
	"blanks":                 {{"auth   pLaIn   " + plain("joe", "secret"), "235 "}},
	"empty initial response": {{"AUTH PLAIN =", "501 malformed"}, {"AUTH CRAM-MD5 =", "501 malformed"}},
	"LOGIN":                  {{"AUTH LOGIN", "334 VXNlcm5hbWU6\r\n"}, {b64("joe"), "334 UGFzc3dvcmQ6\r\n"}, {b64("secret"), "235 "}},
	"LOGIN with the name":    {{"AUTH LOGIN " + b64("joe"), "334 "}, {b64("secret"), "235 "}},
	"cancelled":              {{"AUTH PLAIN", "334 "}, {"*", "501 "}, {"AUTH PLAIN", "334 "}, {plain("joe", "secret"), "235 "}},
	"not base64":             {{"AUTH PLAIN !", "501 that is not base64"}, {"AUTH PLAIN", "334 "}, {"not base64", "501 "}, {"NOOP", "250 "}},
	"no padding":             {{"AUTH LOGIN am9lCg", "501 "}},
	"padding too early":      {{"AUTH LOGIN am==9l", "501 "}},
	"bits left over":         {{"AUTH LOGIN am9=", "501 "}},
	"a CR within":            {{"AUTH LOGIN am\r9l", "501 "}},
	"more words":             {{"AUTH LOGIN am9l am9l", "501 "}},
	"wrong":                  {{"AUTH PLAIN " + plain("joe", "x"), "535 "}, {"AUTH PLAIN " + plain("joe", "secret"), "235 "}},
	"nobody":                 {{"AUTH PLAIN " + plain("nobody", "x"), "535 "}},
	"later":                  {{"AUTH PLAIN " + plain("later", "x"), "454 "}, {"AUTH PLAIN " + plain("joe", "secret"), "235 "}},
	"bad form":               {{"AUTH PLAIN " + b64("joe"), "501 malformed"}, {"AUTH CRAM-MD5", "334 "}, {"", "501 "}},
	"no mechanism":           {{"AUTH", "501 "}, {"AUTH ", "501 "}},
	"unknown mechanism":      {{"AUTH GSSAPI", "504 "}, {"AUTH SCRAM-SHA-256-PLUS biws", "504 "}, {"AUTH " + strings.Repeat("X", 1000), "504 "}},
	"overlong":               {{"AUTH PLAIN " + strings.Repeat("A", maxResponse), "500 "}, {"AUTH PLAIN", "334 "}, {strings.Repeat("A", maxResponse+1), "500 "}, {"NOOP", "250 "}},
	"as long as can be":      {{"AUTH PLAIN", "334 "}, {strings.Repeat("A", maxResponse), "501 malformed"}, {"NOOP", "250 "}},
	"far too long":           {{"AUTH PLAIN", "334 "}, {strings.Repeat("A", maxLine), "421 out of memory"}},
	"within a transaction":   {{"MAIL FROM:<a@b>", "250 "}, {"AUTH PLAIN " + plain("joe", "secret"), "503 "}, {"RSET", "250 "}, {"AUTH PLAIN " + plain("joe", "secret"), "235 "}},
	"before EHLO":            {{"AUTH PLAIN " + plain("joe", "secret"), "235 "}},
	"too often": {{"AUTH PLAIN " + plain("joe", "1"), "535 "}, {"AUTH PLAIN " + plain("joe", "2"), "535 "}, {"AUTH PLAIN " + plain("joe", "3"), "535 "},
		{"AUTH PLAIN " + plain("joe", "4"), "535 "}, {"AUTH PLAIN " + plain("joe", "5"), "421 "}, {"NOOP", ""}},
	"a command instead": {{"AUTH PLAIN", "334 "}, {"MAIL FROM:<a@b>", "501 "}, {"NOOP", "250 "}},
	"a NUL":             {{"AUTH PLAIN", "334 "}, {plain("joe", "secret") + "\x00x", "235 "}},
}

func TestExchanges(t *testing.T) { each(t, testExchanges) }

func testExchanges(t *testing.T, m manner) {
	withAll(t, files{"plaintextauth": "1\n"})
	for name, lines := range exchanges {
		for _, secure := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				c := m.greeted(t, peer, secure)
				for _, l := range lines {
					if secure && strings.Contains(l.say, "-PLUS") {
						continue
					}
					c.want(l.say, l.reply)
				}
				c.conn.Close()
				<-c.status
			})
		}
	}
}

// Passwords in the clear are not asked for, and not taken.
func TestPlaintextAuth(t *testing.T) { each(t, testPlaintextAuth) }

func testPlaintextAuth(t *testing.T, m manner) {
	for _, contents := range []string{absent, "0\n", "yes\n", "2\n"} {
		withAll(t, files{"plaintextauth": contents})
		c := m.greeted(t, peer, false)
		c.want("AUTH PLAIN "+plain("joe", "secret"), "538 ")
		c.want("AUTH LOGIN", "538 ")
		c.want("MAIL FROM:<a@b.example>", "250 ")
		c.want("RCPT TO:<x@evil.example>", "553 ")
	}
}

// Each exchange may be cut anywhere, and ends with the client.
func TestExchangeCut(t *testing.T) { each(t, testExchangeCut) }

func testExchangeCut(t *testing.T, m manner) {
	withAll(t, files{"plaintextauth": "1\n"})
	whole := "AUTH LOGIN\r\n" + b64("joe") + "\r\n" + b64("secret") + "\r\n"
	for n := range len(whole) {
		out, status := m.converse(t, peer, whole[:n], 1000)
		if status != 1 || strings.Contains(out, "235") {
			t.Errorf("cut after %d bytes: told %q, status %d", n, out, status)
		}
	}
	out, _ := m.converse(t, peer, whole, 1)
	if !strings.Contains(out, "\r\n235 ") {
		t.Errorf("byte by byte: told %q", out)
	}
}

// A client that does not believe the proof of the server has not logged in.
func TestProofRefused(t *testing.T) { each(t, testProofRefused) }

func testProofRefused(t *testing.T, m manner) {
	withAll(t, nil)
	log := logged(t)
	for _, answer := range []string{"*", b64("what?"), "!"} {
		c := m.greeted(t, peer, false)
		_, exchange, _ := sasl.NewClient([]string{"SCRAM-SHA-1"}, "joe", "secret", sasl.ClientOptions{})
		first, _ := exchange.Next(nil)
		reply := c.say("AUTH SCRAM-SHA-1 " + b64(string(first)))
		challenge, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(reply, "334 ")))
		proof, _ := exchange.Next(challenge)
		c.want(b64(string(proof)), "334 ")
		c.want(answer, "501 ")
		c.want("MAIL FROM:<a@b.example>", "250 ")
		c.want("RCPT TO:<x@evil.example>", "553 ")
	}
	if got := log(); strings.Contains(got, "logged in") || strings.Count(got, "login failed") != 3 {
		t.Errorf("logged %q", got)
	}
}

// Who has let a client wait in vain is left alone for longer than who was not there.
func TestDeafAuth(t *testing.T) {
	began := time.Unix(1000, 0)
	for waited, quiet := range map[time.Duration]time.Duration{0: offerTime, 10 * time.Second: deafTime} {
		var a asked
		now := began.Add(waited)
		a.keep(kind{}, began, now, nil, os.ErrDeadlineExceeded)
		if !a.isNobody(now) || !a.isNobody(now.Add(quiet-1)) || a.isNobody(now.Add(quiet)) || a.isNobody(now.Add(-time.Hour)) {
			t.Errorf("after %v in vain it is not left alone for %v", waited, quiet)
		}
	}
}

// Where nobody is there to ask, AUTH is what it is to qmail.
func TestNobodyToAsk(t *testing.T) { each(t, testNobodyToAsk) }

func testNobodyToAsk(t *testing.T, m manner) {
	home(t, nil, 0)
	out, _ := m.converse(t, peer, "EHLO c.example\r\nAUTH PLAIN\r\nSTARTTLS\r\nQUIT\r\n", 1000)
	if want := hi + "250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n" + unknown + unknown + bye; out != want {
		t.Errorf("told %q, want %q", out, want)
	}
	// One that has gone meanwhile is a trouble that passes.
	withAll(t, nil)
	c := m.greeted(t, peer, false)
	c.offers()
	os.Remove(filepath.Join(conf.Home, "auth/login"))
	os.Remove(filepath.Join(conf.Home, "auth/keys"))
	c.want("AUTH CRAM-MD5", "454 ")
}

// Who has logged in may relay, and nobody else; it counts for the session alone.
func TestLoginRelays(t *testing.T) { each(t, testLoginRelays) }

func testLoginRelays(t *testing.T, m manner) {
	withAll(t, nil)
	log := logged(t)
	c := m.greeted(t, peer.With("RELAYCLIENT", ".suffix"), true)
	c.want("EHLO peer.example", "250")
	c.want("AUTH PLAIN "+plain("joe", "secret"), "235 ")
	c.want("MAIL FROM:<a@b.example>", "250 ")
	c.want("RCPT TO:<x@evil.example>", "250 ")
	c.want("DATA", "354 ")
	c.want("s\r\n.", "250 ok ")
	message, envelope := queuedFiles()
	const trace = "Received: from peer.example (192.0.2.9)\n  by mx.example with ESMTPSA (TLSv1.3 TLS_AES_128_GCM_SHA256); DATE\ns\n"
	if undated(message) != trace || envelope != "Fa@b.example\x00Tx@evil.example\x00\x00" {
		t.Errorf("queued %q, %q", message, envelope)
	}
	c.want("QUIT", bye)
	if got := log(); got != "logged in login=joe mechanism=PLAIN TLSv1.3\n" {
		t.Errorf("logged %q", got)
	}
	c = m.greeted(t, peer, true)
	c.want("MAIL FROM:<a@b.example>", "250 ")
	c.want("RCPT TO:<x@evil.example>", "553 ")
}

// A program in qmail-queue's place is told who has logged in, and that there is a right
// to relay. The Received line still says what ident said.
func TestLoginEnvironment(t *testing.T) {
	withAll(t, files{"plaintextauth": "1\n"})
	script := "#!/bin/sh\necho \"$TCPREMOTEINFO,${RELAYCLIENT-none}\" >who; cat >message\n"
	if err := os.WriteFile(filepath.Join(conf.Home, "who.sh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for auth, want := range map[string]string{"": "ident,none\n", "AUTH PLAIN " + plain("joe", "secret") + "\r\n": "joe,\n"} {
		env := peer.With("QMAILQUEUE", filepath.Join(conf.Home, "who.sh")).With("TCPREMOTEINFO", "ident")
		manner{name: "cold"}.converse(t, env, auth+transaction+"DATA\r\nx\r\n.\r\nQUIT\r\n", 1000)
		who, _ := os.ReadFile(filepath.Join(conf.Home, "who"))
		message, _ := os.ReadFile(filepath.Join(conf.Home, "message"))
		if string(who) != want || !strings.Contains(string(message), "(ident@192.0.2.9)") || strings.Contains(string(message), "joe") {
			t.Errorf("%.9s: it is told %q, the message is %q", auth, who, message)
		}
	}
}

// A job with a checkpassword program runs cold: nothing is executed in a warm process.
func TestCheckpasswordDeclined(t *testing.T) {
	home(t, nil, 0)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, args := range [][]string{nil, {"host"}, {"host", "checkpassword"}, {"host", "checkpassword", "true"}} {
		p := process(r, w, peer)
		p.Args = args
		if got, want := hasChecker(p.Args), len(args) >= 2; got != want {
			t.Errorf("%q: %v", args, got)
		}
		if p.Warm = true; !hasChecker(args) {
			continue
		}
		if err := p.Call(Program()); err == nil || err.Error() != "declined: to be run by itself" {
			t.Errorf("%q: %v, want that it is declined", args, err)
		}
	}
}

// With a checkpassword program on the command line no limit ever counted: each message was
// the first one to a qmail-auth that had just been started.
func TestCountedByDaemon(t *testing.T) {
	for _, c := range []struct {
		args    []string
		limits  files
		counted bool
	}{
		{nil, nil, true}, // the daemon knows whether there are limits
		{nil, files{"submissionlimits": "*:1\n"}, true},
		{[]string{"host", "checkpassword"}, nil, false},
		{[]string{"host", "checkpassword"}, files{"submissionlimits": "*:1\n"}, true},
		{[]string{"host", "checkpassword"}, files{"submissionlimits": ""}, true},
	} {
		home(t, c.limits, 0)
		authenticate(t, limit{10})
		p := process(nil, nil, peer)
		p.Args, p.Now = c.args, func() time.Time { return time.Now().UTC() }
		s := &session{p: p, login: &login{name: "joe"}}
		counter := s.counter()
		if (counter != nil) != c.counted {
			t.Errorf("%q, %q: counted %v", c.args, c.limits, counter != nil)
		}
		if counter == nil {
			continue
		}
		a, err := counter.Spend(s.request(false), "joe", 1, 11)
		if err != nil || a.Kind != authwire.Later {
			t.Errorf("%q, %q: one more than there is room for: %q %q, %v", c.args, c.limits, a.Kind, a.Text, err)
		}
		counter.Close()
	}
}

// FuzzAuth: whatever a client says instead of a response, it gets a reply to each line
// and no right.
func FuzzAuth(f *testing.F) {
	for name := range exchanges {
		for _, l := range exchanges[name] {
			if len(l.say) < 200 {
				f.Add("PLAIN", l.say, l.say)
			}
		}
	}
	withAll(f, files{"plaintextauth": "1\n"})
	m := manner{"warm", Program()}
	f.Fuzz(func(t *testing.T, mechanism, first, second string) {
		in := "AUTH " + mechanism + " " + first + "\r\n" + second + "\r\nRSET\r\n" + sender + "RCPT TO:<x@evil.example>\r\n"
		out, status := m.converse(t, peer, in, 1000)
		for _, line := range strings.SplitAfter(out, "\n") {
			if line != "" && (len(line) < 6 || line[3] != ' ' && line[3] != '-' || !strings.HasSuffix(line, "\r\n")) {
				t.Errorf("%q is no reply", line)
			}
		}
		right := strings.Contains(in, plain("joe", "secret")) || strings.Contains(in, b64("secret"))
		if loggedIn := strings.Contains(out, "\r\n235 "); loggedIn && !right || !loggedIn && strings.HasSuffix(out, ok+ok) {
			t.Errorf("%q: told %q, status %d", in, out, status)
		}
	})
}
