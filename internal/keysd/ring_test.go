package keysd

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"quail/internal/keywire"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// Keys, made once.
var (
	rsaKey, _         = rsa.GenerateKey(rand.Reader, 2048)
	p256Key, _        = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p224Key, _        = ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	_, edKey, _       = ed25519.GenerateKey(rand.Reader)
	serial      int64 = 1
)

// certificate returns one of its own key for hosts, in PEM.
func certificate(t testing.TB, key crypto.Signer, from, until time.Time, hosts ...string) string {
	t.Helper()
	serial++
	of := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: from, NotAfter: until, DNSNames: hosts}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// valid is certificate for this noon.
func valid(t testing.TB, key crypto.Signer, hosts ...string) string {
	t.Helper()
	return certificate(t, key, noon.AddDate(0, 0, -1), noon.AddDate(0, 0, 1), hosts...)
}

func block(kind string, der []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(key any) string {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return block("PRIVATE KEY", der, err)
}

func sec1(key *ecdsa.PrivateKey) string {
	der, err := x509.MarshalECPrivateKey(key)
	return block("EC PRIVATE KEY", der, err)
}

func entry(name, cert, key string) keywire.Entry {
	return keywire.Entry{Name: name, Certificate: []byte(cert), Key: []byte(key)}
}

// smallRSA is a certificate with a key of 512 bits, which crypto/rsa makes no more.
const smallRSA = `-----BEGIN CERTIFICATE-----
MIIBVzCCAQGgAwIBAgIURRl4vPh/YBuryYY+xBPEXy+nNQwwDQYJKoZIhvcNAQEL
BQAwADAeFw0yNjExMjIxMjE4NTFaFw0yNjExMjUxMjE4NTFaMAAwXDANBgkqhkiG
9w0BAQEFAANLADBIAkEAtMTFipA+bYU5OOwrGJm9wyWwo21nXf9/JpGP7Y2f9d27
J1e62cwOOJov54SrDAX9J4P1JRpeVcT4JZ6mxvY5ZQIDAQABo1MwUTAdBgNVHQ4E
FgQU0oPaEgktCSxfpWWzDRgCKfO1s8QwHwYDVR0jBBgwFoAU0oPaEgktCSxfpWWz
DRgCKfO1s8QwDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAANBADfmQ8wo
YlPawhjlwgdxNMJ3WG79/UankCy0RfESd8yjLycjQ1zOVyoH+bEZxr/uC7FzZ0bn
kMkBc6pABB1kzvk=
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIIBVQIBADANBgkqhkiG9w0BAQEFAASCAT8wggE7AgEAAkEAtMTFipA+bYU5OOwr
GJm9wyWwo21nXf9/JpGP7Y2f9d27J1e62cwOOJov54SrDAX9J4P1JRpeVcT4JZ6m
xvY5ZQIDAQABAkBwo7BIAEu2KO6YJqlQAfS51hF0NGbVrrAHU2qw5rAHHl6STZQi
kgo4BVm0fzq/Ylf8yhNCS0h/zUxTYmsR7bThAiEA8F973c47179U0hwAyXUrHUee
0aCwFhCwuYLpWIYG6GkCIQDAhUunFQprKBLVyZqEMuESccH4Z3sr+/+WjTOVAF4J
nQIhAObZ/R83uxdoRPEJPeQ9KCwVpb0UAykd3Gw+AxcmmSnJAiEAmCZAPdHhJALN
r+vek+/p9Lu2wmx16bMEsaTySSW7K/kCIEEa2o2B+NS3cTBT5+TE8Dks2GQUrEZC
3zWvLoQbw0hj
-----END PRIVATE KEY-----
`

// Files in every form that they may have, and what is said of those that are none.
func TestLoad(t *testing.T) {
	cert, ec, ed := valid(t, rsaKey, "a.test", "*.a.test"), valid(t, p256Key, "b.test"), valid(t, edKey)
	key, ecKey, edPEM := pkcs8(rsaKey), sec1(p256Key), pkcs8(edKey)
	pkcs1 := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil)
	const until = "a certificate until 2026-03-05 12:00 UTC for "
	for _, c := range []struct{ name, cert, key, said string }{
		{"key first, in one file", key + cert, "", until + "a.test *.a.test"},
		{"certificate first, in one file", cert + key, "", until + "a.test *.a.test"},
		{"two files", cert, key, until + "a.test *.a.test"},
		{"a key of PKCS 1", cert, pkcs1, until + "a.test *.a.test"},
		{"a chain, and text between", "text\n" + cert + "more\n" + ec + ed, key, until + "a.test *.a.test"},
		{"a key of SEC 1 behind its parameters", ec, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + ecKey, until + "b.test"},
		{"Ed25519, for nobody", ed + edPEM, "", until + "no host"},
		{"its own key before that beside it", cert + key, ecKey, until + "a.test *.a.test"},
		{"expired", certificate(t, edKey, noon.AddDate(0, 0, -2), noon.AddDate(0, 0, -1), "old.test") + edPEM, "",
			"the certificate has expired, on 2026-03-03 12:00 UTC; for old.test"},
		{"of the future", certificate(t, edKey, noon.AddDate(0, 0, 1), noon.AddDate(0, 0, 2), "new.test") + edPEM, "",
			"the certificate begins on 2026-03-05 12:00 UTC; for new.test"},

		{"nothing", "", "", "there is no certificate"},
		{"garbage", "\x00\x01\xff garbage", "", "there is no certificate"},
		{"a key alone", key, "", "there is no certificate"},
		{"a certificate alone", cert, "", "there is no private key"},
		{"two certificates", cert, cert, "there is no private key"},
		{"another key", cert, ecKey, "the private key is not that of the first certificate"},
		{"another one of its kind", ec, sec1(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))), "the private key is not that of the first certificate"},
		{"a key behind others' certificates", ec + cert + key, "", "the private key is not that of the first certificate"},
		{"an encrypted key", cert, block("ENCRYPTED PRIVATE KEY", []byte("x"), nil), "the private key is encrypted: "},
		{"an encrypted key as of old", cert, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\neA==\n-----END RSA PRIVATE KEY-----\n", "the private key is encrypted: "},
		{"a key that is none", cert, block("PRIVATE KEY", []byte("x"), nil), "the private key: "},
		{"a certificate that is none", block("CERTIFICATE", []byte("x"), nil) + key, "", "certificate 1 of the file: "},
		{"a chain with one that is none", cert + key + block("CERTIFICATE", []byte("x"), nil), "", "certificate 2 of the file: "},
		{"a chain without end", strings.Repeat(cert, 17) + key, "", "more than 16 certificates"},
		{"a key that crypto/rsa refuses to sign with", smallRSA, "", "the private key has less than 1024 bits"},
		{"a curve that TLS has not", valid(t, p224Key), sec1(p224Key), "the private key is of a kind that TLS has no use for"},
	} {
		r := newRing()
		lines := r.load([]keywire.Entry{entry("file", c.cert, c.key)}, noon)
		good := strings.HasPrefix(c.said, until)
		want := "file: " + c.said
		if !good {
			want = "warning: " + want
		}
		served := good || strings.Contains(c.said, "has expired") || strings.Contains(c.said, "begins on")
		if len(lines) == 0 || !strings.HasPrefix(lines[0], want) || (len(r.pairs) == 1) != served {
			t.Errorf("%s: %q, %d pairs; want %q", c.name, lines, len(r.pairs), want)
		}
		if !served && (len(lines) != 2 || lines[1] != "warning: there is no certificate") {
			t.Errorf("%s: %q", c.name, lines)
		}
	}
	r := newRing()
	if lines := r.load([]keywire.Entry{{Name: "f", Trouble: "unable to read f: access denied"}}, noon); lines[0] != "warning: f: unable to read f: access denied" {
		t.Errorf("trouble: %q", lines)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A bad file leaves in use what was there, says so once, and is taken when it is good
// again; keys of certificates that have gone are used for a while.
func TestReload(t *testing.T) {
	r := newRing()
	first, second := valid(t, rsaKey, "first.test")+pkcs8(rsaKey), valid(t, p256Key, "second.test")+sec1(p256Key)
	load := func(now time.Time, files ...string) string {
		var entries []keywire.Entry
		for i, f := range files {
			entries = append(entries, entry(fmt.Sprint(i), f, ""))
		}
		return strings.Join(r.load(entries, now), "|")
	}
	if said := load(noon, first); !strings.Contains(said, "first.test") {
		t.Errorf("at first: %q", said)
	}
	id, listed := keywire.Certificate(r.pairs[0].chain[0]), r.listed
	if said := load(noon, "garbage"); said != "warning: 0: there is no certificate in PEM; what was there before stays in use" {
		t.Errorf("garbage: %q", said)
	}
	if !bytes.Equal(r.listed, listed) {
		t.Error("garbage has taken the place of a certificate")
	}
	if said := load(noon, "other garbage", second); strings.Contains(said, "0:") || !strings.Contains(said, "second.test") {
		t.Errorf("the same again, and another: %q", said)
	}
	if said := load(noon, second); !strings.Contains(said, "second.test") || len(r.pairs) != 1 {
		t.Errorf("good again: %q", said)
	}
	q := keywire.Request{Kind: keywire.Sign, ID: id, Scheme: keywire.PSSSHA256, Text: text13}
	if _, err := r.sign(q, noon.Add(keepTime)); err != nil {
		t.Errorf("soon after: %v", err)
	}
	if _, err := r.sign(q, noon.Add(keepTime+time.Second)); err != errUnknown {
		t.Errorf("long after: %v", err)
	}
	if said := load(noon.AddDate(0, 1, 0), second); !strings.Contains(said, "has expired") {
		t.Errorf("a month later: %q", said)
	}
	if lines := r.expired(noon.AddDate(0, 1, 0)); len(lines) != 1 {
		t.Errorf("expired: %q", lines)
	}
	if lines := r.expired(noon); len(lines) != 0 {
		t.Errorf("not expired: %q", lines)
	}
	if said := load(noon); said != "warning: there is no certificate" || len(r.pairs) != 0 {
		t.Errorf("nothing: %q", said)
	}
}

var (
	text13 = []byte(strings.Repeat(" ", 64) + "TLS 1.3, server CertificateVerify\x00" + strings.Repeat("h", 32))
	text12 = []byte(strings.Repeat("r", 64) + "\x03\x00\x1d\x20" + strings.Repeat("p", 32))
)

// Each kind of key signs by its own schemes what a TLS server signs, which its
// certificate proves, and nothing else.
func TestSign(t *testing.T) {
	r := newRing()
	r.load([]keywire.Entry{entry("rsa", valid(t, rsaKey)+pkcs8(rsaKey), ""), entry("ec", valid(t, p256Key)+sec1(p256Key), ""),
		entry("ed", valid(t, edKey)+pkcs8(edKey), "")}, noon)
	algorithms := []map[uint16]x509.SignatureAlgorithm{
		{keywire.RSASHA256: x509.SHA256WithRSA, keywire.RSASHA384: x509.SHA384WithRSA, keywire.RSASHA512: x509.SHA512WithRSA,
			keywire.PSSSHA256: x509.SHA256WithRSAPSS, keywire.PSSSHA384: x509.SHA384WithRSAPSS, keywire.PSSSHA512: x509.SHA512WithRSAPSS},
		{keywire.ECDSASHA256: x509.ECDSAWithSHA256, keywire.ECDSASHA384: x509.ECDSAWithSHA384, keywire.ECDSASHA512: x509.ECDSAWithSHA512},
		{keywire.Ed25519: x509.PureEd25519},
	}
	for i, p := range r.pairs {
		id := keywire.Certificate(p.chain[0])
		for scheme := range 0x10000 {
			for _, text := range [][]byte{text13, text12} {
				signature, err := r.sign(keywire.Request{Kind: keywire.Sign, ID: id, Scheme: uint16(scheme), Text: text}, noon)
				algorithm, has := algorithms[i][uint16(scheme)]
				if has && err == nil {
					err = p.leaf.CheckSignature(algorithm, text, signature)
				}
				if has != (err == nil) || !has && err != errScheme {
					t.Errorf("%s with %#x: %v", p.name, scheme, err)
				}
			}
		}
		for _, text := range []string{"", "a message", string(text13[1:]), string(text13) + "x", string(p.leaf.RawTBSCertificate)} {
			for scheme := range algorithms[i] {
				if _, err := r.sign(keywire.Request{Kind: keywire.Sign, ID: id, Scheme: scheme, Text: []byte(text)}, noon); err != errText {
					t.Errorf("%s signs %q: %v", p.name, text, err)
				}
			}
		}
	}
	if _, err := r.sign(keywire.Request{Kind: keywire.Sign, Scheme: keywire.Ed25519, Text: text13}, noon); err != errUnknown {
		t.Errorf("a key of nobody's: %v", err)
	}
}

// FuzzLoad: what is taken has a key that signs for it, and nothing ends the process.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(valid(f, p256Key, "a.test")+sec1(p256Key)), []byte(nil))
	f.Add([]byte(valid(f, edKey)), []byte(pkcs8(edKey)))
	f.Add([]byte(valid(f, edKey)), []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\neA==\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		r := newRing()
		lines := r.load([]keywire.Entry{{Name: "fuzz", Certificate: cert, Key: key}}, noon)
		if len(lines) == 0 || strings.Contains(strings.Join(lines, ""), "\n") {
			t.Errorf("it says %q", lines)
		}
		for _, p := range r.pairs {
			scheme := map[x509.PublicKeyAlgorithm]uint16{x509.RSA: keywire.RSASHA256, x509.ECDSA: keywire.ECDSASHA256, x509.Ed25519: keywire.Ed25519}[p.leaf.PublicKeyAlgorithm]
			q := keywire.Request{Kind: keywire.Sign, ID: keywire.Certificate(p.chain[0]), Scheme: scheme, Text: text13}
			signature, err := r.sign(q, noon)
			if err != nil {
				continue // an RSA key may be too small
			}
			algorithm := map[uint16]x509.SignatureAlgorithm{keywire.RSASHA256: x509.SHA256WithRSA, keywire.ECDSASHA256: x509.ECDSAWithSHA256, keywire.Ed25519: x509.PureEd25519}[scheme]
			if err := p.leaf.CheckSignature(algorithm, text13, signature); err != nil {
				t.Errorf("a signature that is none: %v", err)
			}
		}
	})
}
