package remote

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"quail/internal/ascii"
	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/nexthop"
)

// handshakeTime is how long a handshake may take as a whole, so that a server whose
// TLS hangs does not hold up mail that may go without for longer than it has to.
const handshakeTime = time.Minute

// Bundles are where systems keep the certificates of the authorities that they trust,
// all in one file: the first one that is there counts.
var Bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian and its kin, Arch, Alpine
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Red Hat's kin
	"/etc/pki/tls/certs/ca-bundle.crt",                  // the older of these
	"/etc/ssl/ca-bundle.pem",                            // SUSE
	"/etc/ssl/cert.pem",                                 // FreeBSD
	"/usr/local/share/certs/ca-root-nss.crt",            // FreeBSD, by a package
	"/etc/certs/ca-certificates.crt",                    // Solaris
	"/etc/ssl/cacert.pem",                               // illumos
}

// bundle returns the one of this system.
func bundle() string {
	for _, path := range Bundles {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return Bundles[0]
}

// trust is whose certificates count: those of control/tlscas, or else the system's
// authorities. It is read when first needed, and what has been read is good for as long
// as the control files are as they were.
type trust struct {
	once  sync.Once
	roots *x509.CertPool
	v     verdict // instead of roots
}

func (t *trust) load() (*x509.CertPool, verdict) {
	t.once.Do(func() {
		file := "control/tlscas"
		text, set, err := control.In(conf.Home).Text("tlscas")
		if err == nil && !set {
			var b []byte
			file = bundle()
			b, err = os.ReadFile(file)
			text = string(b)
		}
		t.roots = x509.NewCertPool()
		switch {
		case err != nil:
			t.v = "ZUnable to read " + verdict(file) + ", by which certificates are checked. (#4.3.0)\n"
		case !t.roots.AppendCertsFromPEM([]byte(text)):
			t.v = "ZThere is no certificate in " + verdict(file) + ". (#4.3.0)\n"
		}
	})
	return t.roots, t.v
}

// terms are what a session has to begin with before mail may go by it.
type terms struct {
	name   string // of the host, which its certificate is to have
	tls    nexthop.Policy
	trust  *trust // with a policy that checks, and no other
	roots  *x509.CertPool
	user   string
	secret string
}

// terms returns those of the group's target, but for the name.
func (g *group) terms() (t terms, v verdict) {
	t = terms{tls: g.target.TLS, trust: g.trusted(), user: g.target.User}
	if t.trust != nil {
		if t.roots, v = t.trust.load(); v != "" {
			return t, v
		}
	}
	if t.user != "" {
		t.secret, v = secretFor(g.target)
	}
	return t, v
}

// trusted returns whose certificates count for the group, nil where none does. A
// session that has begun by another answer is not for this group.
func (g *group) trusted() *trust {
	if g.target.TLS.Checks() {
		return g.trust
	}
	return nil
}

// tlsFailure is the error of a connection that is of no use any more since TLS could
// not be begun on it.
type tlsFailure struct{ cause error }

func (f *tlsFailure) Error() string { return f.cause.Error() }

// errInjected: a server that takes what it has said already for a part of the session
// to come has been tricked, or tricks.
var errInjected = errors.New("the server goes on in plain text after it has agreed to TLS")

// reason shows why TLS failed; certificates have names that strangers choose.
func reason(err error) string {
	const most = 300
	text := ascii.Printable(err.Error(), '?')
	return text[:min(len(text), most)]
}

// noTLS is the verdict where TLS must be and has failed.
func (s *session) noTLS(err error) verdict {
	return verdict("ZConnected to " + s.peer + " but TLS failed: " + reason(err) + ". (#4.7.5)\n")
}

// startTLS has the session go on by TLS if the policy wants that and the server offers
// it, or says why no mail goes by it. The error may be a tlsFailure.
func (s *session) startTLS() (verdict, error) {
	if s.terms.tls == nexthop.None || s.secure != nil {
		return "", nil
	}
	if !s.starttls {
		if s.terms.tls.Insists() {
			return verdict("ZConnected to " + s.peer + " but it offers no TLS, which control/tlsroutes wants. (#4.7.4)\n"), nil
		}
		return "", nil
	}
	code, err := s.ask("STARTTLS\r\n")
	switch {
	case err != nil:
		return "", &tlsFailure{err}
	case code != greeted && s.terms.tls.Insists():
		return s.says("ZConnected to ", " but it refused STARTTLS, which control/tlsroutes wants"), nil
	case code != greeted && s.leaving:
		return "", &tlsFailure{errors.New("the server has refused it")}
	case code != greeted:
		s.note = "Sent without TLS: the server has refused it.\n"
		return "", nil
	case s.in.Buffered() > 0:
		return "", &tlsFailure{errInjected}
	}
	if err := s.handshake(); err != nil {
		return "", err
	}
	return s.hello()
}

// handshake begins TLS. All that the server has said before is forgotten.
func (s *session) handshake() error {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         strings.TrimSuffix(s.terms.name, "."),
		RootCAs:            s.terms.roots,
		InsecureSkipVerify: !s.terms.tls.Checks(),
		Time:               s.now,
	}
	conn := tls.Client(s.socket, config)
	if err := s.socket.SetDeadline(s.now().Add(min(s.timeout, handshakeTime))); err != nil {
		return &tlsFailure{err}
	}
	if err := conn.Handshake(); err != nil {
		return &tlsFailure{err}
	}
	s.conn, s.secure = conn, conn
	s.in = bufio.NewReader(s)
	s.last = reply{}
	s.note = describe(conn.ConnectionState(), s.terms)
	return nil
}

// describe is what the report on success says of TLS.
func describe(state tls.ConnectionState, t terms) string {
	note := strings.Replace(tls.VersionName(state.Version), " ", "v", 1) + " " + tls.CipherSuiteName(state.CipherSuite)
	if !t.tls.Checks() {
		return note + ", certificate not checked.\n"
	}
	return note + ", certificate of " + ascii.Printable(t.name, '?') + " is right.\n"
}
