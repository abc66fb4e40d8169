package smtpd

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"quail/internal/authwire"
	"quail/internal/conf"
	"quail/internal/keywire"
	"quail/internal/localsocket"
	"quail/internal/prog"
	"quail/internal/sasl"
)

// Who sits beside qmail-smtpd here: a qmail-auth that knows joe, whose password is
// "secret", and a qmail-keys with one certificate. They say what the real ones say, by
// the same packages.

// listen has somebody answer at a socket of the home.
func listen(t testing.TB, path string, answer func(*os.File)) {
	t.Helper()
	path = filepath.Join(conf.Home, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := localsocket.Listen(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := localsocket.Accept(l)
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				answer(c.File)
			}()
		}
	}()
}

// joe is the only user.
type joe struct{}

var errLater = errors.New("the disk is on fire")

func is(user string, right bool) (string, error) {
	switch {
	case user == "later":
		return "", errLater
	case user != "joe" || !right:
		return "", sasl.ErrWrong
	}
	return "joe", nil
}

func (joe) Password(user, password string) (string, error) { return is(user, password == "secret") }

func (joe) Digest(user, challenge, digest string) (string, error) {
	return is(user, sasl.CRAM("secret", challenge) == digest)
}

func (joe) Secret(user string) (login, secret string, err error) {
	login, err = is(user, true)
	return login, "secret", err
}

func (joe) Verifier(user, hash string) (string, sasl.Verifier, error) {
	v, err := sasl.NewVerifier(hash, "secret", []byte("some salt"), 4096)
	if err != nil {
		return "", v, err
	}
	login, err := is(user, true)
	return login, v, err
}

// limit is what joe may still submit: messages of so many recipients.
type limit struct{ recipients int }

// authenticate has somebody listen who knows joe, and what was asked of him last.
func authenticate(t testing.TB, most limit) {
	listen(t, authwire.Path, func(c *os.File) {
		in := bufio.NewReader(c)
		var exchange sasl.Server
		for {
			q, err := authwire.ReadQuestion(in)
			if err != nil {
				return
			}
			var a authwire.Answer
			switch q.Verb {
			case authwire.Mechanisms:
				a = authwire.Offer(q.Request.Allowed(sasl.Mechanisms()))
			case authwire.Spend:
				a.Kind = authwire.Yes
				if q.Recipients > most.recipients {
					a = authwire.Answer{Kind: authwire.Later, Text: q.Login + " has sent \x1b too much"}
				}
			case authwire.Begin:
				o := sasl.Options{Realm: "mx.example", TLS: q.Request.TLS || q.Request.PlainOK, Bindings: q.Request.Bindings}
				if exchange, err = sasl.NewServer(q.Mechanism, joe{}, o); err != nil {
					return
				}
				a = judge(exchange, q.Data)
			case authwire.Continue:
				a = judge(exchange, q.Data)
			}
			if _, err := c.Write(a.Append(nil)); err != nil {
				return
			}
		}
	})
}

func judge(exchange sasl.Server, response []byte) authwire.Answer {
	challenge, done, err := exchange.Next(response)
	switch {
	case errors.Is(err, sasl.ErrFormat):
		return authwire.Answer{Kind: authwire.BadFormat, Text: "bad form"}
	case errors.Is(err, sasl.ErrWrong):
		return authwire.Answer{Kind: authwire.No, Text: "wrong"}
	case err != nil:
		return authwire.Answer{Kind: authwire.Later, Text: err.Error()}
	case done:
		return authwire.Answer{Kind: authwire.Yes, Login: exchange.Login(), Data: challenge}
	}
	if challenge == nil {
		challenge = []byte{}
	}
	return authwire.Answer{Kind: authwire.Challenge, Data: challenge}
}

// certify has somebody listen who holds the key of a certificate.
func certify(t testing.TB) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.example"},
		DNSNames: []string{"mx.example"}, NotBefore: time.Unix(0, 0), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	listen(t, keywire.Path, func(c *os.File) {
		for {
			q, err := keywire.ReadRequest(c)
			if err != nil {
				return
			}
			a := keywire.Answer{Kind: keywire.Listed, Chains: []keywire.Chain{{der}}}
			if q.Kind == keywire.Sign {
				a = keywire.Answer{Kind: keywire.Signed, Signature: ed25519.Sign(private, q.Text)}
			}
			if _, err := c.Write(a.Append(nil)); err != nil {
				return
			}
		}
	})
}

// withAll sets up a home with both beside it.
func withAll(t testing.TB, special files) {
	home(t, special, 0)
	clock = func() time.Time { return time.Now().UTC() }
	t.Cleanup(func() { clock = standing })
	authenticate(t, limit{10})
	certify(t)
}

// fresh is a manner with a process of its own, which knows nothing of other homes.
func fresh() []manner { return []manner{{name: "cold"}, {name: "warm", run: Program()}} }

// client is one at the other end, who waits for each reply.
type client struct {
	t      testing.TB
	conn   net.Conn
	in     *bufio.Reader
	status <-chan int
}

func (m manner) client(t testing.TB, env prog.Env) *client {
	conn, status := m.dial(t, env)
	return &client{t, conn, bufio.NewReader(conn), status}
}

// reply reads a reply of one line or several; "" after the end.
func (c *client) reply() string {
	var all strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		all.WriteString(line)
		if err != nil || len(line) < 4 || line[3] != '-' {
			return all.String()
		}
	}
}

// say sends a line and returns the reply.
func (c *client) say(line string) string {
	io.WriteString(c.conn, line+"\r\n")
	return c.reply()
}

// want says something and looks at how the reply begins.
func (c *client) want(line, reply string) {
	c.t.Helper()
	if got := c.say(line); !strings.HasPrefix(got, reply) || reply == "" && got != "" {
		c.t.Errorf("%.80q: told %q, want %q", line, got, reply)
	}
}

// secure begins TLS.
func (c *client) secure() *tls.ConnectionState {
	c.t.Helper()
	conn := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, ServerName: "mx.example"})
	if err := conn.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.in = conn, bufio.NewReader(conn)
	state := conn.ConnectionState()
	return &state
}

// greeted is a client that has been greeted and, with tls, speaks that.
func (m manner) greeted(t testing.TB, env prog.Env, tls bool) *client {
	t.Helper()
	c := m.client(t, env)
	if got := c.reply(); got != hi {
		t.Fatalf("greeted with %q", got)
	}
	if tls {
		c.want("STARTTLS", "220 ")
		c.secure()
	}
	return c
}

// offers returns the words that EHLO is answered with.
func (c *client) offers() []string {
	lines := strings.Split(strings.TrimSuffix(c.say("EHLO c.example"), "\r\n"), "\r\n")
	for i := range lines {
		lines[i] = lines[i][4:]
	}
	return lines[1:]
}

// plain is the response of PLAIN.
func plain(user, password string) string { return b64("\x00" + user + "\x00" + password) }

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// dates are those in a message.
var dates = regexp.MustCompile(`\d+ [A-Z][a-z]+ 20\d\d \d\d:\d\d:\d\d -0000`)

// undated has DATE in place of dates.
func undated(message string) string { return dates.ReplaceAllString(message, "DATE") }

// logged has what the sessions of a test say written to a file, and returns what that is.
func logged(t testing.TB) func() string {
	f, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	logFile = f
	t.Cleanup(func() {
		logFile = null
		f.Close()
	})
	return func() string {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(bytes.ReplaceAll(b, []byte("qmail-smtpd: pid 4711 from 192.0.2.9: "), nil))
	}
}

// logFile is descriptor 2 of all sessions; nobody reads it where logged has not been called.
var logFile = null

var null = func() *os.File {
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	return f
}()

func has(offers []string, word string) bool {
	return slices.ContainsFunc(offers, func(o string) bool { return strings.HasPrefix(o, word) })
}
