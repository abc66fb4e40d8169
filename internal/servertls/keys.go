package servertls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"quail/internal/keywire"
	"quail/internal/localsocket"
	"quail/internal/prog"
)

const (
	answerTime = 10 * time.Second // how long qmail-keys is waited for, for a signature
	listTime   = 5 * time.Second  // how long for its certificates, which it need not work for
	freshTime  = time.Second      // how long what it said of its certificates counts
	deafTime   = 10 * time.Second // how long it is not asked for them if it did not answer
	ticketTime = 24 * time.Hour   // how long tickets are made with one key
	maxIdle    = 8                // connections to it that are kept
)

// ErrNone says that qmail-keys has no certificate.
var ErrNone = errors.New("qmail-keys has no certificate")

// Keys are what qmail-keys holds. They may be used by many goroutines at once.
type Keys struct {
	path string
	now  func() time.Time

	renewal sync.Mutex // held by who asks for the certificates

	mu      sync.Mutex // guards what follows
	asked   time.Time
	lasts   time.Duration // how long after that the answer counts
	set     *set
	failed  error
	base    *tls.Config
	tickets [][32]byte
	turned  time.Time // when the first of tickets was made

	idle struct {
		sync.Mutex
		conns []*os.File
	}
}

// set is the certificates of one moment, in the order of the administrator.
type set struct {
	id    keywire.ID
	certs []*tls.Certificate
}

// New returns the keys of the qmail-keys that listens at path.
func New(path string, now func() time.Time) *Keys {
	return &Keys{path: path, now: now, base: &tls.Config{MinVersion: tls.VersionTLS12, Time: now}}
}

// Ready reports whether there is a certificate to show: nil, or why there is none. It
// asks qmail-keys no more than once a second.
func (k *Keys) Ready() error {
	_, err := k.current()
	return err
}

// current returns the certificates. While somebody asks for them all others go by what
// was known before: they do not wait for a qmail-keys that does not answer.
func (k *Keys) current() (*set, error) {
	set, failed, known, fresh := k.lately()
	if fresh {
		return set, failed
	}
	if !k.renewal.TryLock() {
		if known {
			return set, failed
		}
		k.renewal.Lock()
	}
	defer k.renewal.Unlock()
	if set, failed, _, fresh = k.lately(); fresh {
		return set, failed
	}
	set, failed = k.renew(set)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.set, k.failed, k.asked, k.lasts = set, failed, k.now(), freshTime
	if errors.Is(failed, os.ErrDeadlineExceeded) {
		k.lasts = deafTime
	}
	return set, failed
}

// lately returns what is known, if anything is, and whether it is to be asked for anew.
func (k *Keys) lately() (set *set, failed error, known, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known = !k.asked.IsZero()
	age := k.now().Sub(k.asked)
	return k.set, k.failed, known, known && 0 <= age && age < k.lasts
}

// renew asks for the certificates.
func (k *Keys) renew(old *set) (*set, error) {
	if old == nil {
		old = &set{}
	}
	a, err := k.ask(keywire.Request{Kind: keywire.List, ID: old.id}, listTime)
	switch {
	case err != nil:
		return nil, err
	case a.Kind == keywire.Listed:
		return k.take(a.Chains)
	case a.Kind == keywire.Unchanged && len(old.certs) > 0:
		return old, nil
	}
	return nil, fmt.Errorf("%s: unexpected answer", k.path)
}

// take makes a set of chains.
func (k *Keys) take(chains []keywire.Chain) (*set, error) {
	s := &set{id: keywire.Set(chains)}
	for _, chain := range chains {
		leaf, err := x509.ParseCertificate(chain[0])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.path, err)
		}
		key := signer{k, keywire.Certificate(chain[0]), leaf.PublicKey}
		s.certs = append(s.certs, &tls.Certificate{Certificate: chain, Leaf: leaf, PrivateKey: key})
	}
	if len(s.certs) == 0 {
		return nil, ErrNone
	}
	return s, nil
}

// ask sends a request and returns the answer. A connection that was kept may be one to a
// qmail-keys that has gone; then a new one is made.
func (k *Keys) ask(q keywire.Request, patience time.Duration) (a keywire.Answer, err error) {
	for {
		conn, kept, err := k.connect()
		if err != nil {
			return a, prog.Fail("unable to reach qmail-keys", err)
		}
		conn.SetDeadline(k.now().Add(patience))
		if _, err = conn.Write(q.Append(nil)); err == nil {
			a, err = keywire.ReadAnswer(conn)
		}
		if err == nil {
			k.keep(conn)
			return a, nil
		}
		conn.Close()
		if !kept || errors.Is(err, os.ErrDeadlineExceeded) {
			return a, prog.Fail("qmail-keys does not answer", err)
		}
	}
}

// connect returns a connection to qmail-keys, and whether it is an old one.
func (k *Keys) connect() (conn *os.File, kept bool, err error) {
	k.idle.Lock()
	for n := len(k.idle.conns); n > 0 && conn == nil; n-- {
		conn, k.idle.conns = k.idle.conns[n-1], k.idle.conns[:n-1]
		if !localsocket.Quiet(conn) {
			conn.Close()
			conn = nil
		}
	}
	k.idle.Unlock()
	if conn != nil {
		return conn, true, nil
	}
	conn, err = localsocket.Dial(k.path, true)
	return conn, false, err
}

// keep keeps a connection for the next request.
func (k *Keys) keep(conn *os.File) {
	k.idle.Lock()
	defer k.idle.Unlock()
	if len(k.idle.conns) == maxIdle {
		conn.Close()
		return
	}
	k.idle.conns = append(k.idle.conns, conn)
}

// choice is the certificate of one handshake.
type choice struct {
	set  *set
	name string // of the server, where the client names none
	// What was chosen for a new session, and what the one began with that was offered to
	// be resumed. TLS 1.2 may have both, and makes a new session nevertheless.
	fresh, resumed *x509.Certificate
}

// leaf returns the certificate that the client knows the server by.
func (c *choice) leaf(resumed bool) *x509.Certificate {
	if resumed {
		return c.resumed
	}
	return c.fresh
}

// config returns what crypto/tls needs for one handshake. A ticket says which certificate
// its session began with, which is what the client knows the server by.
func (k *Keys) config(c *choice) *tls.Config {
	k.mu.Lock()
	if now := k.now(); len(k.tickets) == 0 || now.Sub(k.turned) > ticketTime || now.Before(k.turned) {
		var fresh [32]byte
		rand.Read(fresh[:])
		k.tickets = append([][32]byte{fresh}, k.tickets[:min(1, len(k.tickets))]...)
		k.turned = now
		k.base.SetSessionTicketKeys(k.tickets)
	}
	config := k.base.Clone()
	k.mu.Unlock()
	config.GetCertificate = c.pick
	config.WrapSession = func(s tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		if leaf := c.leaf(s.DidResume); leaf != nil {
			id := keywire.Certificate(leaf.Raw)
			session.Extra = [][]byte{id[:]}
		}
		return config.EncryptTicket(s, session)
	}
	config.UnwrapSession = func(ticket []byte, s tls.ConnectionState) (*tls.SessionState, error) {
		session, err := config.DecryptTicket(ticket, s)
		if err != nil || session == nil || !c.resume(session.Extra) {
			return nil, err
		}
		return session, nil
	}
	return config
}

// resume chooses the certificate that a session began with, and reports whether it is
// still there.
func (c *choice) resume(extra [][]byte) bool {
	for _, cert := range c.set.certs {
		if id := cert.PrivateKey.(signer).id; len(extra) == 1 && bytes.Equal(extra[0], id[:]) {
			c.resumed = cert.Leaf
			return true
		}
	}
	return false
}

// pick chooses the certificate that a client gets: of those for the name that it asks for
// the first that it can verify, else of all of them.
func (c *choice) pick(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if name == "" {
		name = c.name
	}
	// What the client can verify is another question than whether it will like the name.
	able := *hello
	able.ServerName = ""
	usable := func(cert *tls.Certificate) bool { return able.SupportsCertificate(cert) == nil }
	meant := func(cert *tls.Certificate) bool { return name != "" && cert.Leaf.VerifyHostname(name) == nil }
	for _, suits := range []func(*tls.Certificate) bool{
		func(cert *tls.Certificate) bool { return meant(cert) && usable(cert) },
		usable,
		func(*tls.Certificate) bool { return true },
	} {
		if i := slices.IndexFunc(c.set.certs, suits); i >= 0 {
			c.fresh = c.set.certs[i].Leaf
			return c.set.certs[i], nil
		}
	}
	return nil, ErrNone
}

// signer is a key that qmail-keys holds.
type signer struct {
	keys   *Keys
	id     keywire.ID
	public crypto.PublicKey
}

// Public returns the public half.
func (s signer) Public() crypto.PublicKey { return s.public }

// Sign fails: what is to be signed has to be seen.
func (s signer) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("qmail-keys signs no hashes")
}

// SignMessage has qmail-keys sign a message.
func (s signer) SignMessage(_ io.Reader, text []byte, opts crypto.SignerOpts) ([]byte, error) {
	var family keywire.Family
	switch s.public.(type) {
	case *rsa.PublicKey:
		family = keywire.RSA
		if _, ok := opts.(*rsa.PSSOptions); ok {
			family = keywire.PSS
		}
	case *ecdsa.PublicKey:
		family = keywire.ECDSA
	case ed25519.PublicKey:
		family = keywire.EdDSA
	}
	scheme, ok := keywire.Scheme(family, opts.HashFunc())
	if !ok {
		return nil, fmt.Errorf("qmail-keys has no signatures with %v", opts.HashFunc())
	}
	a, err := s.keys.ask(keywire.Request{Kind: keywire.Sign, ID: s.id, Scheme: scheme, Text: text}, answerTime)
	if err != nil {
		return nil, err
	}
	if a.Kind != keywire.Signed {
		return nil, fmt.Errorf("qmail-keys refused: %s", a.Text)
	}
	return a.Signature, nil
}
