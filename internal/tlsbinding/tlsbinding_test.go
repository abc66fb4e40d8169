package tlsbinding

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"reflect"
	"testing"
	"time"

	"quail/internal/sasl"
)

// certificate makes one, signed by itself in a given way.
func certificate(t *testing.T, key crypto.Signer, by x509.SignatureAlgorithm) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), SignatureAlgorithm: by}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// connect returns what both ends know of a new connection.
func connect(t *testing.T, cert tls.Certificate, version uint16) (client, server tls.ConnectionState) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	near := tls.Client(a, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
	far := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true})
	deadline := time.Now().Add(10 * time.Second)
	near.SetDeadline(deadline)
	far.SetDeadline(deadline)
	failed := make(chan error, 1)
	go func() { failed <- far.Handshake() }()
	if err := near.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return near.ConnectionState(), far.ConnectionState()
}

// Both ends find the same, and another connection something else.
func TestOf(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := certificate(t, key, x509.ECDSAWithSHA256)
	for version, want := range map[uint16]string{tls.VersionTLS13: "tls-exporter", tls.VersionTLS12: "tls-unique"} {
		var seen [2][]sasl.Binding
		for i := range seen {
			client, server := connect(t, cert, version)
			seen[i] = Of(&server, cert.Leaf)
			if near := Of(&client, client.PeerCertificates[0]); !reflect.DeepEqual(near, seen[i]) {
				t.Errorf("%s: the client has %x, the server %x", want, near, seen[i])
			}
			if len(seen[i]) != 2 || seen[i][0].Type != want || len(seen[i][0].Data) < 12 || seen[i][1].Type != "tls-server-end-point" {
				t.Fatalf("%s: %x", want, seen[i])
			}
			if without := Of(&server, nil); len(without) != 1 {
				t.Errorf("%s: without the certificate: %x", want, without)
			}
		}
		if reflect.DeepEqual(seen[0][0], seen[1][0]) || !reflect.DeepEqual(seen[0][1], seen[1][1]) {
			t.Errorf("%s: two connections have %x and %x", want, seen[0], seen[1])
		}
	}
}

// RFC 5929, section 4.1.
func TestEndPoint(t *testing.T) {
	key, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	other, err2 := rsa.GenerateKey(rand.Reader, 2048)
	_, edwards, err3 := ed25519.GenerateKey(rand.Reader)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	for _, c := range []struct {
		key  crypto.Signer
		by   x509.SignatureAlgorithm
		want func([]byte) []byte
	}{
		{key, x509.ECDSAWithSHA256, func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }},
		{key, x509.ECDSAWithSHA384, func(b []byte) []byte { h := sha512.Sum384(b); return h[:] }},
		{key, x509.ECDSAWithSHA512, func(b []byte) []byte { h := sha512.Sum512(b); return h[:] }},
		{other, x509.SHA256WithRSA, func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }},
		{other, x509.SHA512WithRSAPSS, func(b []byte) []byte { h := sha512.Sum512(b); return h[:] }},
		{edwards, x509.PureEd25519, func([]byte) []byte { return nil }},
	} {
		leaf := certificate(t, c.key, c.by).Leaf
		if got := endPoint(leaf); !reflect.DeepEqual(got, c.want(leaf.Raw)) {
			t.Errorf("%v: %x", c.by, got)
		}
	}
	old := certificate(t, other, x509.SHA256WithRSA).Leaf
	old.SignatureAlgorithm = x509.SHA1WithRSA
	want := sha256.Sum256(old.Raw)
	if got := endPoint(old); !reflect.DeepEqual(got, want[:]) {
		t.Errorf("SHA-1 stands for %x", got)
	}
}
