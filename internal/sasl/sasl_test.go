package sasl

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
)

// book is users and their passwords, all of whom log in by the name that they have.
type book struct {
	passwords map[string]string
	err       error // of all methods, if not nil
	asked     []string
}

var people = map[string]string{"joe": "sesame", "tim": "tanstaaftanstaaf", "a,b=c": "x y", "jürgen": "pässword", "日本": "パスワード"}

func (b *book) find(user string) (string, bool, error) {
	b.asked = append(b.asked, user)
	password, known := b.passwords[user]
	return password, known, b.err
}

func (b *book) Password(user, password string) (string, error) {
	want, known, err := b.find(user)
	if err == nil && (!known || want != password) {
		err = ErrWrong
	}
	return user, err
}

func (b *book) Digest(user, challenge, digest string) (string, error) {
	secret, known, err := b.find(user)
	if err == nil && (!known || CRAM(secret, challenge) != digest) {
		err = ErrWrong
	}
	return user, err
}

func (b *book) Secret(user string) (string, string, error) {
	secret, known, err := b.find(user)
	if err == nil && !known {
		return "", "", ErrWrong
	}
	return user, secret, err
}

const rounds = minIterations

// verifiers saves the tests from deriving the same keys again.
var verifiers = map[string]Verifier{}

func (b *book) Verifier(user, hash string) (string, Verifier, error) {
	secret, known, err := b.find(user)
	if err != nil {
		return "", Verifier{}, err
	}
	if !known {
		return "", Verifier{rounds, digest(hash, []byte(user))[:4], make([]byte, newHash(hash)().Size()), make([]byte, newHash(hash)().Size())}, ErrWrong
	}
	v, made := verifiers[hash+secret]
	if !made {
		v, err = NewVerifier(hash, secret, []byte("salt"), rounds)
		verifiers[hash+secret] = v
	}
	return user, v, err
}

// connection is what both ends know of TLS.
var connection = []Binding{{"tls-exporter", []byte("exported")}, {"tls-server-end-point", []byte("certificate")}}

func options() Options {
	return Options{Realm: "mail.example", Random: [32]byte{1, 2, 3}, Now: 1700000000, PID: 42, TLS: true}
}

func clientOptions() ClientOptions {
	return ClientOptions{Host: "mail.example", Random: [32]byte{9, 8, 7}, TLS: true}
}

// converse runs an exchange to its end and returns what both sides said, the server's
// lines after "S: ", and the first error of either.
func converse(s Server, c Client) (said []string, done bool, err error) {
	message, err := c.Next(nil)
	for range 10 {
		if err != nil {
			return said, done, err
		}
		if done {
			return said, done, nil
		}
		if message != nil {
			said = append(said, "C: "+string(message))
		}
		var challenge []byte
		if challenge, done, err = s.Next(message); err != nil {
			return said, false, err
		}
		if challenge != nil {
			said = append(said, "S: "+string(challenge))
			message, err = c.Next(challenge)
		}
	}
	return said, false, errors.New("the exchange has no end")
}

func TestVectors(t *testing.T) {
	for _, c := range []struct {
		mechanism, user, secret string
		mine, theirs            string // what is unpredictable: the client's, the server's
		want                    []string
	}{
		{"SCRAM-SHA-1", "user", "pencil", "fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j", []string{ // RFC 5802, section 5
			"C: n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"S: r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"C: c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"S: v=rmF9pqV8S7suAoZWja4dJRkFsKQ="}},
		{"SCRAM-SHA-256", "user", "pencil", "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", []string{ // RFC 7677, section 3
			"C: n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"S: r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"C: c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"S: v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="}},
		{"PLAIN", "tim", "tanstaaftanstaaf", "", "", []string{"C: \x00tim\x00tanstaaftanstaaf"}}, // RFC 4616, section 4
		{"LOGIN", "tim", "tanstaaftanstaaf", "", "", []string{"S: Username:", "C: tim", "S: Password:", "C: tanstaaftanstaaf"}},
	} {
		hash := strings.TrimPrefix(c.mechanism, "SCRAM-")
		salt, _ := base64.StdEncoding.DecodeString(map[string]string{SHA1: "QSXCR+Q6sek8bf92", SHA256: "W22ZaJ0SNY7soEsUEjb6gQ=="}[hash])
		v, err := NewVerifier(hash, c.secret, salt, 4096)
		if err != nil {
			t.Fatal(err)
		}
		verifiers[hash+c.secret] = v
		s, err1 := NewServer(c.mechanism, &book{passwords: map[string]string{c.user: c.secret}}, options())
		name, ours, err2 := NewClient([]string{c.mechanism}, c.user, c.secret, clientOptions())
		if err1 != nil || err2 != nil || name != c.mechanism {
			t.Fatal(err1, err2, name)
		}
		s.(*server).fresh, ours.(*client).fresh = c.theirs, c.mine
		said, done, err := converse(s, ours)
		if !slices.Equal(said, c.want) || !done || err != nil || s.Login() != c.user || !ours.Done() {
			t.Errorf("%s: %q, %v, %v, login %q, want\n%q", c.mechanism, said, done, err, s.Login(), c.want)
		}
	}
	if got := CRAM("tanstaaftanstaaf", "<1896.697170952@postoffice.reston.mci.net>"); got != "b913a602c7eda7a495b4e6e7334d3890" {
		t.Errorf("RFC 2195, section 2: %s", got)
	}
	d := digestOf{user: "chris", realm: "elwood.innosoft.com", secret: "secret", nonce: "OA6MG9tEQGm2hh", cnonce: "OA6MHXh6VqTrRk", nc: firstUse, uri: "imap/elwood.innosoft.com"}
	if got := d.response("AUTHENTICATE:") + d.response(":"); got != "d388dad90d4bbd760a152321f2143af7ea40f60335c427b5527b84dbabcdfffd" {
		t.Errorf("RFC 2831, section 4: %s", got)
	}
}

// Our client against our server by every mechanism, and every way of binding; with the
// right password and a wrong one, and as nobody.
func TestAll(t *testing.T) {
	for _, mechanism := range Mechanisms() {
		for _, bindings := range [][]Binding{nil, connection[:1], connection[1:], connection} {
			plus := strings.HasSuffix(mechanism, "-PLUS")
			if plus != (bindings != nil) {
				continue
			}
			for user, password := range people {
				for _, sent := range []struct{ user, password string }{
					{user, password}, {user, password + "x"}, {user + "x", password}, {"joe", password},
				} {
					right := people[sent.user] == sent.password
					o, co := options(), clientOptions()
					o.Bindings, co.Bindings = bindings, bindings
					users := &book{passwords: people}
					s, err1 := NewServer(mechanism, users, o)
					_, c, err2 := NewClient([]string{mechanism}, sent.user, sent.password, co)
					if err1 != nil || err2 != nil {
						t.Fatal(mechanism, err1, err2)
					}
					_, done, err := converse(s, c)
					if done != right || right != (err == nil) || !right && err != ErrWrong {
						t.Errorf("%s as %q with %q: %v, %v", mechanism, sent.user, sent.password, done, err)
					}
					if want := map[bool]string{true: sent.user}[right]; s.Login() != want || right && !c.Done() {
						t.Errorf("%s as %q: login %q, client done %v", mechanism, sent.user, s.Login(), c.Done())
					}
					if !slices.Equal(users.asked, []string{sent.user}) {
						t.Errorf("%s as %q asked for %q", mechanism, sent.user, users.asked)
					}
					if _, done, err := s.Next([]byte("again")); done || err != ErrFormat {
						t.Errorf("%s: a message after the end: %v, %v", mechanism, done, err)
					}
				}
			}
		}
	}
}

// What the server knows nothing of, for now, is not wrong.
func TestLater(t *testing.T) {
	for _, mechanism := range Mechanisms() {
		for _, later := range []error{errors.New("disk on fire"), ErrUnsupported} {
			o, co := options(), clientOptions()
			if strings.HasSuffix(mechanism, "-PLUS") {
				o.Bindings, co.Bindings = connection, connection
			}
			s, err1 := NewServer(mechanism, &book{passwords: people, err: later}, o)
			_, c, err2 := NewClient([]string{mechanism}, "joe", "sesame", co)
			if err1 != nil || err2 != nil {
				t.Fatal(mechanism, err1, err2)
			}
			if _, done, err := converse(s, c); done || err != later || s.Login() != "" {
				t.Errorf("%s: %v, %v, login %q", mechanism, done, err, s.Login())
			}
		}
	}
}

func TestChoice(t *testing.T) {
	all := Mechanisms()
	for _, c := range []struct {
		offered  []string
		tls      bool
		bindings []Binding
		want     string
	}{
		{all, true, connection, "SCRAM-SHA-256-PLUS"},
		{all, true, nil, "SCRAM-SHA-256"},
		{all, false, nil, "SCRAM-SHA-256"},
		{[]string{"LOGIN", "PLAIN", "CRAM-MD5"}, true, nil, "CRAM-MD5"},
		{[]string{"LOGIN", "PLAIN"}, true, nil, "PLAIN"},
		{[]string{"LOGIN"}, true, nil, "LOGIN"},
		{[]string{"LOGIN", "PLAIN"}, false, nil, ""},
		{[]string{"SCRAM-SHA-1-PLUS"}, true, nil, ""},
		{[]string{"GSSAPI", ""}, true, nil, ""},
		{nil, true, nil, ""},
	} {
		o := clientOptions()
		o.TLS, o.Bindings = c.tls, c.bindings
		name, client, err := NewClient(c.offered, "joe", "sesame", o)
		if name != c.want || (err == nil) != (c.want != "") || (client == nil) != (c.want == "") || err != nil && err != ErrMechanism {
			t.Errorf("of %q, TLS %v: %q, %v, want %q", c.offered, c.tls, name, err, c.want)
		}
	}
	for _, c := range [][2]string{{"", "x"}, {"joe", ""}, {"a\nb", "x"}, {"joe", "a\x00b"}, {strings.Repeat("a", 256), "x"}} {
		if _, _, err := NewClient(all, c[0], c[1], clientOptions()); err != ErrFormat {
			t.Errorf("as %q with %q: %v", c[0], c[1], err)
		}
	}
	o := options()
	o.TLS = false
	for _, name := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "plain", "", "GSSAPI"} {
		if s, err := NewServer(name, &book{}, o); s != nil || err != ErrMechanism {
			t.Errorf("%q without TLS: %v", name, err)
		}
	}
}

// run sends messages to a server, nil for none, and returns how the last was taken.
func run(t *testing.T, mechanism string, o Options, messages ...[]byte) (s Server, challenge []byte, done bool, err error) {
	t.Helper()
	s, err = NewServer(mechanism, &book{passwords: people}, o)
	if err != nil {
		t.Fatal(mechanism, err)
	}
	for i, m := range messages {
		if challenge, done, err = s.Next(m); (err != nil || done) && i+1 < len(messages) {
			t.Fatalf("%s: message %d of %q: %v, %v", mechanism, i, messages, done, err)
		}
	}
	return s, challenge, done, err
}

// First messages that are not taken.
func TestMalformed(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		mechanism, message string
		want               error
	}{
		{"PLAIN", "", ErrFormat},
		{"PLAIN", "joe\x00sesame", ErrFormat},
		{"PLAIN", "\x00joe\x00sesame\x00", ErrFormat},
		{"PLAIN", "\x00joe\x00", ErrFormat},
		{"PLAIN", "\x00\x00sesame", ErrFormat},
		{"PLAIN", "\x00jo\re\x00sesame", ErrFormat},
		{"PLAIN", "\x00" + long + "\x00sesame", ErrFormat},
		{"PLAIN", "\x00joe\x00" + strings.Repeat("x", MaxMessage), ErrFormat},
		{"PLAIN", "tim\x00joe\x00sesame", ErrWrong},
		{"LOGIN", "", ErrFormat},
		{"LOGIN", "a\x00b", ErrFormat},
		{"LOGIN", long, ErrFormat},
		{"CRAM-MD5", "joe b913a602c7eda7a495b4e6e7334d3890", ErrFormat}, // before the challenge
		{"CRAM-MD5", "", ErrFormat},
		{"DIGEST-MD5", `username="joe",nc=00000002`, ErrFormat},
		{"DIGEST-MD5", "", ErrFormat},
		{"SCRAM-SHA-256", "", ErrFormat},
		{"SCRAM-SHA-256", "n,,", ErrFormat},
		{"SCRAM-SHA-256", "n,,n=joe", ErrFormat},
		{"SCRAM-SHA-256", "n,,n=joe,r=", ErrFormat},
		{"SCRAM-SHA-256", "n,,n=,r=abc", ErrFormat},
		{"SCRAM-SHA-256", "n,,r=abc,n=joe", ErrFormat},
		{"SCRAM-SHA-256", "n,,m=x,n=joe,r=abc", ErrFormat},
		{"SCRAM-SHA-256", "n,,n=jo=e,r=abc", ErrFormat},
		{"SCRAM-SHA-256", "n,,n=jo=3d,r=abc", ErrFormat},
		{"SCRAM-SHA-256", "n,,n=joe,r=a b", ErrFormat},
		{"SCRAM-SHA-256", "n,,n=jo\x00e,r=abc", ErrFormat},
		{"SCRAM-SHA-256", "n,joe,n=joe,r=abc", ErrFormat},
		{"SCRAM-SHA-256", "n,a=,n=joe,r=abc", nil},
		{"SCRAM-SHA-256", "n,a=tim,n=joe,r=abc", ErrWrong},
		{"SCRAM-SHA-256", "n,a=joe,n=joe,r=abc", nil},
		{"SCRAM-SHA-256", "n,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=abc", nil},
		{"SCRAM-SHA-256", "n,,n=joe,r=abc,x=extension", nil},
		{"SCRAM-SHA-256", "y,,n=joe,r=abc", nil},
		{"SCRAM-SHA-256", "z,,n=joe,r=abc", ErrFormat},
		{"SCRAM-SHA-256", "p=tls-exporter,,n=joe,r=abc", ErrFormat},
		{"SCRAM-SHA-256 and PLUS", "y,,n=joe,r=abc", ErrWrong}, // somebody took -PLUS away
		{"SCRAM-SHA-256 and PLUS", "n,,n=joe,r=abc", nil},
		{"SCRAM-SHA-256-PLUS", "n,,n=joe,r=abc", ErrFormat},
		{"SCRAM-SHA-256-PLUS", "y,,n=joe,r=abc", ErrFormat},
		{"SCRAM-SHA-256-PLUS", "p=,,n=joe,r=abc", ErrFormat},
		{"SCRAM-SHA-256-PLUS", "p=tls-unique,,n=joe,r=abc", ErrFormat},
		{"SCRAM-SHA-256-PLUS", "p=tls-exporter,,n=joe,r=abc", nil},
		{"SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=joe,r=abc", nil},
	} {
		o := options()
		mechanism, both := strings.CutSuffix(c.mechanism, " and PLUS")
		if both || strings.HasSuffix(mechanism, "-PLUS") {
			o.Bindings = connection
		}
		if _, _, done, err := run(t, mechanism, o, []byte(c.message)); done || err != c.want {
			t.Errorf("%s: %q: %v, %v, want %v", c.mechanism, c.message, done, err, c.want)
		}
	}
}

func TestCRAMServer(t *testing.T) {
	const challenge = "<42.72623842526232576.1700000000@mail.example>"
	right := CRAM("sesame", challenge)
	for _, c := range []struct {
		message string
		want    error
	}{
		{"joe " + right, nil},
		{"joe " + strings.ToUpper(right), nil},
		{"tim " + right, ErrWrong},
		{"joe " + CRAM("sesame", "<1@x>"), ErrWrong},
		{"joe  " + right, ErrWrong}, // the user "joe "
		{"joe", ErrFormat},
		{"", ErrFormat},
		{" " + right, ErrFormat},
		{"joe " + right[1:], ErrFormat},
		{"joe " + right + "0", ErrFormat},
		{"joe " + right + "00", ErrFormat},
		{"joe " + strings.Repeat("g", 32), ErrFormat},
		{"joe\x00 " + right, ErrFormat},
	} {
		s, _, done, err := run(t, "CRAM-MD5", options(), nil, []byte(c.message))
		if err != c.want || done != (c.want == nil) || done != (s.Login() == "joe") {
			t.Errorf("%q: %v, %v, login %q, want %v", c.message, done, err, s.Login(), c.want)
		}
	}
	if _, got, _, err := run(t, "CRAM-MD5", options(), nil); string(got) != challenge || err != nil {
		t.Errorf("the challenge is %q, %v", got, err)
	}
}

// A right answer of DIGEST-MD5, changed in one place.
func TestDigestServer(t *testing.T) {
	d := digestOf{user: "joe", realm: "mail.example", secret: "sesame", nonce: nonce(options().Random), cnonce: "abc", nc: firstUse, uri: "smtp/mail.example"}
	answer := func(d digestOf) string {
		s := `username="joe",realm=` + quote(d.realm) + `,nonce="` + d.nonce + `",cnonce="abc",nc=` + d.nc +
			`,qop=auth,digest-uri="` + d.uri + `",response=` + d.response("AUTHENTICATE:") + `,charset=utf-8`
		if d.authzid != "" {
			s += `,authzid="` + d.authzid + `"`
		}
		return s
	}
	with := func(change func(*digestOf)) string {
		other := d
		change(&other)
		return answer(other)
	}
	right := answer(d)
	for _, c := range []struct {
		message string
		want    error
	}{
		{right, nil},
		{strings.ReplaceAll(right, ",", " , \t,"), nil},
		{strings.Replace(right, "qop=auth,", "", 1), nil},
		{strings.Replace(right, ",charset=utf-8", "", 1), nil},
		{strings.Replace(right, "username", "UserName", 1), nil},
		{strings.Replace(right, "nc=00000001", `nc="00000001"`, 1), nil},
		{with(func(d *digestOf) { d.authzid = "joe" }), nil},
		{strings.Replace(with(func(d *digestOf) { d.realm = "" }), `realm="",`, "", 1), nil},
		{with(func(d *digestOf) { d.uri = "smtp/other.example" }), nil},
		{with(func(d *digestOf) { d.authzid = "tim" }), ErrWrong},
		{with(func(d *digestOf) { d.nc = "00000002" }), ErrWrong}, // subsequent authentication
		{with(func(d *digestOf) { d.nonce = "another" }), ErrWrong},
		{with(func(d *digestOf) { d.realm = "other.example" }), ErrWrong},
		{with(func(d *digestOf) { d.secret = "simsim" }), ErrWrong},
		{strings.Replace(right, "smtp/", "imap/", 1), ErrWrong},
		{strings.Replace(right, `"joe"`, `"nobody"`, 1), ErrWrong},
		{strings.Replace(right, `cnonce="abc"`, `cnonce="abd"`, 1), ErrWrong},
		{strings.Replace(right, "qop=auth", "qop=auth-int", 1), ErrFormat},
		{strings.Replace(right, `"joe"`, `"joe`, 1), ErrFormat},
		{strings.Replace(right, `"joe"`, `""`, 1), ErrFormat},
		{strings.Replace(right, `"joe"`, `"j\`, 1), ErrFormat},
		{strings.Replace(right, `"joe",`, `"joe"`, 1), ErrFormat},
		{strings.Replace(right, `cnonce="abc",`, "", 1), ErrFormat},
		{right + `,username="joe"`, ErrFormat},
		{right + ",x", ErrFormat},
		{right + ",=x", ErrFormat},
		{"", ErrFormat},
		{right + "," + strings.Repeat(" ", MaxMessage), ErrFormat},
	} {
		s, challenge, done, err := run(t, "DIGEST-MD5", options(), nil, []byte(c.message))
		if err != c.want || done != (c.want == nil) || done != (s.Login() == "joe") || done != strings.HasPrefix(string(challenge), "rspauth=") {
			t.Errorf("%q: %q, %v, %v, want %v", c.message, challenge, done, err, c.want)
		}
	}
}

// Clients differ in what of a name and a password they hash in ISO 8859-1. GNU SASL, which
// hashes the name in UTF-8, could not log in as anybody whose name is not ASCII.
func TestDigestCharset(t *testing.T) {
	for i := range 4 {
		d := digestOf{user: "jürgen", realm: "mail.example", secret: "pässword", nonce: nonce(options().Random), cnonce: "abc", nc: firstUse, uri: "smtp/x",
			userAsIs: i&1 != 0, secretAsIs: i&2 != 0}
		answer := `username="jürgen",charset=utf-8,realm="mail.example",nonce="` + d.nonce + `",cnonce=abc,nc=00000001,digest-uri="smtp/x",response=` + d.response("AUTHENTICATE:")
		s, challenge, done, err := run(t, "DIGEST-MD5", options(), nil, []byte(answer))
		if !done || err != nil || s.Login() != "jürgen" || string(challenge) != "rspauth="+d.response(":") {
			t.Errorf("%+v: %q, %v, %v", d, challenge, done, err)
		}
	}
}

// A right proof of SCRAM, changed in one place.
func TestScramServer(t *testing.T) {
	o, co := options(), clientOptions()
	o.Bindings, co.Bindings = connection, connection
	_, c, err := NewClient(Mechanisms(), "joe", "sesame", co)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := c.Next(nil)
	_, challenge, _, err := run(t, "SCRAM-SHA-256-PLUS", o, first)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := c.Next(challenge)
	if err != nil {
		t.Fatal(err)
	}
	right := string(proof)
	unproven, p, _ := strings.Cut(right, ",p=")
	other := base64.StdEncoding.EncodeToString([]byte("p=tls-exporter,,another connection"))
	for _, c := range []struct {
		message string
		want    error
	}{
		{right, nil},
		{strings.Replace(right, ",p=", ",x=extension,p=", 1), ErrWrong}, // fine, but not signed
		{"c=" + other + unproven[strings.Index(unproven, ","):] + ",p=" + p, ErrWrong},
		{"c=biws" + unproven[strings.Index(unproven, ","):] + ",p=" + p, ErrWrong},
		{strings.Replace(right, ",r=", ",r=x", 1), ErrWrong},
		{unproven + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 32)), ErrWrong},
		{unproven, ErrFormat},
		{unproven + ",p=", ErrFormat},
		{right + ",x=y", ErrFormat},
		{right[:len(right)-4], ErrFormat},
		{unproven + ",p=" + p[:4] + "\n" + p[4:], ErrFormat}, // was passed over
		{strings.TrimPrefix(right, "c="), ErrFormat},
		{strings.Replace(right, ",r=", ",q=", 1), ErrFormat},
		{"", ErrFormat},
		{string(first), ErrFormat},
	} {
		s, challenge, done, err := run(t, "SCRAM-SHA-256-PLUS", o, first, []byte(c.message))
		if err != c.want || done != (c.want == nil) || done != (s.Login() == "joe") || done != strings.HasPrefix(string(challenge), "v=") {
			t.Errorf("%q: %q, %v, %v, want %v", c.message, challenge, done, err, c.want)
		}
	}
	// The same proof in another exchange is worth nothing.
	o.Random[0]++
	if _, _, done, err := run(t, "SCRAM-SHA-256-PLUS", o, first, proof); done || err != ErrWrong {
		t.Errorf("a proof used again: %v, %v", done, err)
	}
	// Nor on another connection.
	o = options()
	o.Bindings = []Binding{{"tls-exporter", []byte("another connection")}}
	if _, _, done, err := run(t, "SCRAM-SHA-256-PLUS", o, first, proof); done || err != ErrWrong {
		t.Errorf("a proof passed on from another connection: %v, %v", done, err)
	}
}

// Somebody who is not known gets the same steps: as many messages of the same length,
// and the same salt whenever he asks, if the source of users does its part.
func TestNobody(t *testing.T) {
	for _, mechanism := range Mechanisms() {
		o := options()
		co := clientOptions()
		if strings.HasSuffix(mechanism, "-PLUS") {
			o.Bindings, co.Bindings = connection, connection
		}
		var sizes [3][]int
		var said [3][]string
		for i, user := range []string{"joe", "jim", "jim"} {
			s, _ := NewServer(mechanism, &book{passwords: people}, o)
			_, c, _ := NewClient([]string{mechanism}, user, "wrong", co)
			var err error
			if said[i], _, err = converse(s, c); err != ErrWrong {
				t.Errorf("%s as %s: %v", mechanism, user, err)
			}
			for _, line := range said[i] {
				sizes[i] = append(sizes[i], len(line))
			}
		}
		if !slices.Equal(sizes[0], sizes[1]) || !slices.Equal(said[1], said[2]) {
			t.Errorf("%s: said %q", mechanism, said)
		}
	}
}

func TestVerifier(t *testing.T) {
	for _, hash := range []string{SHA1, SHA256} {
		v, err := NewVerifier(hash, "sesame", []byte("salt"), rounds)
		if err != nil {
			t.Fatal(err)
		}
		for password, want := range map[string]bool{"sesame": true, "": false, "Sesame": false, "sesame ": false} {
			if got, err := v.Matches(hash, password); got != want || err != nil {
				t.Errorf("%s matches %q: %v, %v", hash, password, got, err)
			}
		}
		if bytes.Equal(v.StoredKey, v.ServerKey) || len(v.StoredKey) != newHash(hash)().Size() {
			t.Errorf("%s: %+v", hash, v)
		}
	}
}
