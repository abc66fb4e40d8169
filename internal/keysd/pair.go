package keysd

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"quail/internal/ascii"
	"quail/internal/keywire"
)

// pair is a certificate, with those that follow it, and its key.
type pair struct {
	name  string // of the entry
	chain keywire.Chain
	leaf  *x509.Certificate
	key   crypto.Signer
}

// What is wrong with files.
var (
	errNoCertificate = errors.New("there is no certificate in PEM")
	errNoKey         = errors.New("there is no private key in PEM")
	errEncrypted     = errors.New("the private key is encrypted: write it without a pass phrase, as openssl pkey does")
	errKind          = errors.New("the private key is of a kind that TLS has no use for: it must be RSA, ECDSA (P-256, P-384, P-521) or Ed25519")
	errSmall         = errors.New("the private key has less than 1024 bits: nothing is signed with it")
	errMismatch      = errors.New("the private key is not that of the first certificate")
	errChain         = errors.New("more than 16 certificates")
)

// leastBits is how many bits an RSA key needs for crypto/rsa to sign with it. With one of
// fewer every handshake would fail, also where there are other certificates.
const leastBits = 1024

// newPair returns the pair of an entry.
func newPair(e keywire.Entry) (*pair, error) {
	if e.Trouble != "" {
		return nil, errors.New(e.Trouble)
	}
	p := &pair{name: e.Name}
	key := e.Key
	for block, rest := pem.Decode(e.Certificate); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE":
			p.chain = append(p.chain, block.Bytes)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			key = e.Certificate // its own goes before that of a file beside it
		}
	}
	if len(p.chain) == 0 {
		return nil, errNoCertificate
	}
	if len(p.chain) > 16 {
		return nil, errChain
	}
	for i, der := range p.chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the file: %w", i+1, err)
		}
		if i == 0 {
			p.leaf = cert
		}
	}
	var err error
	if p.key, err = readKey(key); err != nil {
		return nil, err
	}
	public, ok := p.key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(p.leaf.PublicKey) {
		return nil, errMismatch
	}
	return p, nil
}

// readKey returns the first private key among blocks of PEM.
func readKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, errEncrypted
		}
		return parseKey(block.Bytes)
	}
	return nil, errNoKey
}

// parseKey reads a private key in any of the forms that it may have in DER.
func parseKey(der []byte) (crypto.Signer, error) {
	var key any
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		var other error
		if key, other = x509.ParsePKCS1PrivateKey(der); other != nil {
			if key, other = x509.ParseECPrivateKey(der); other != nil {
				return nil, fmt.Errorf("the private key: %w", err)
			}
		}
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < leastBits {
			return nil, errSmall
		}
		return key, nil
	case *ecdsa.PrivateKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return key, nil
		}
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, errKind
}

// expired reports whether clients will not take the certificate because of the time.
func (p *pair) expired(now time.Time) bool {
	return now.After(p.leaf.NotAfter) || now.Before(p.leaf.NotBefore)
}

// describe says which certificate it is, for the log.
func (p *pair) describe(now time.Time) string {
	var names []string
	names = append(names, p.leaf.DNSNames...)
	for _, ip := range p.leaf.IPAddresses {
		names = append(names, ip.String())
	}
	const shown = 10
	if len(names) > shown {
		names = append(names[:shown:shown], "...")
	}
	hosts := ascii.Printable(strings.Join(names, " "), '?')
	if hosts == "" {
		hosts = "no host"
	}
	const day = "2006-01-02 15:04 UTC"
	until, from := p.leaf.NotAfter.UTC().Format(day), p.leaf.NotBefore.UTC().Format(day)
	switch {
	case now.After(p.leaf.NotAfter):
		return fmt.Sprintf("warning: %s: the certificate has expired, on %s; for %s", p.name, until, hosts)
	case now.Before(p.leaf.NotBefore):
		return fmt.Sprintf("warning: %s: the certificate begins on %s; for %s", p.name, from, hosts)
	}
	return fmt.Sprintf("%s: a certificate until %s for %s", p.name, until, hosts)
}
