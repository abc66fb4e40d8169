package servertls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/keysd"
	"quail/internal/keywire"
	"quail/internal/localsocket"
	"quail/internal/prog"
	"quail/internal/tlsbinding"
	"quail/internal/ucspi"
)

const long = 10 * time.Second

// TestMain lets the test binary be qmail-keysd.
func TestMain(m *testing.M) {
	if os.Getenv("QUAIL_TEST_KEYSD") != "" {
		prog.Main("qmail-keysd", keysd.Run, prog.Descriptors(4))
	}
	os.Exit(m.Run())
}

// identity is a certificate with its key.
type identity struct {
	entry keywire.Entry
	tls   tls.Certificate
}

var serial int64

func newIdentity(t testing.TB, key crypto.Signer, hosts ...string) (i identity) {
	t.Helper()
	serial++
	of := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: hosts, SubjectKeyId: []byte{byte(serial)}}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	i.tls = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	i.entry = keywire.Entry{Name: strings.Join(hosts, ","), Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	return i
}

var identities = sync.OnceValue(func() map[string]identity {
	var t testing.T
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]identity{
		"rsa": newIdentity(&t, rsaKey, "rsa.test", "*.wild.test", "both.test"),
		"ec":  newIdentity(&t, ecKey, "ec.test", "both.test"),
		"ed":  newIdentity(&t, edKey, "ed.test"),
	}
})

// daemon is a qmail-keysd.
type daemon struct {
	t    testing.TB
	path string
	cmd  *exec.Cmd
	hand *os.File
}

// start starts one with the identities.
func start(t testing.TB, names ...string) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, path: filepath.Join(dir, "keys")}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d.run(names...)
	t.Cleanup(d.stop)
	return d
}

func (d *daemon) run(names ...string) {
	d.t.Helper()
	l, err := localsocket.Listen(d.path, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer l.Close()
	take, hand, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	defer take.Close()
	d.hand = hand
	d.cmd = exec.Command(os.Args[0])
	d.cmd.Env = append(os.Environ(), "QUAIL_TEST_KEYSD=1")
	d.cmd.Stdin, d.cmd.ExtraFiles = l, []*os.File{take}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.load(names...)
}

func (d *daemon) load(names ...string) {
	var entries []keywire.Entry
	for _, name := range names {
		entries = append(entries, identities()[name].entry)
	}
	if _, err := d.hand.Write(keywire.AppendEntries(nil, entries)); err != nil {
		d.t.Error(err)
	}
}

// stop lets it end by itself, as it does without qmail-keys.
func (d *daemon) stop() {
	d.hand.Close()
	d.cmd.Wait()
}

func (d *daemon) kill() {
	d.cmd.Process.Kill()
	d.stop()
}

func (d *daemon) keys() *Keys { return New(d.path, time.Now) }

// connection returns that of a warm program, and the client's end.
func connection(t testing.TB, timeout time.Duration) (*ucspi.Conn, net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	server, far := os.NewFile(uintptr(fds[0]), "server"), os.NewFile(uintptr(fds[1]), "client")
	client, err := net.FileConn(far)
	far.Close()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ucspi.NewConn(&prog.Process{Stdin: server, Stdout: server, Warm: true}, timeout)
	if err != nil {
		t.Fatal(err)
	}
	client.SetDeadline(time.Now().Add(long))
	t.Cleanup(func() { client.Close(); conn.Close() })
	return conn, client
}

// meet has a client with that configuration shake hands with k.
func meet(t testing.TB, k *Keys, name string, config *tls.Config) (*Conn, *tls.Conn, error) {
	t.Helper()
	conn, raw := connection(t, long)
	type result struct {
		c   *Conn
		err error
	}
	done := make(chan result)
	go func() {
		c, err := k.Handshake(conn, name)
		if err != nil {
			conn.Close()
		}
		done <- result{c, err}
	}()
	client := tls.Client(raw, config)
	clientErr := client.Handshake()
	r := <-done
	if r.err == nil && clientErr != nil {
		t.Errorf("the client: %v", clientErr)
	}
	return r.c, client, r.err
}

// Who is met, by which version, is what client and certificates have in common.
func TestHandshake(t *testing.T) {
	d := start(t, "rsa", "ec", "ed")
	k := d.keys()
	if err := k.Ready(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, asks, local string
		config            *tls.Config
		who, version      string
	}{
		{"no name", "", "", &tls.Config{}, "rsa", "TLSv1.3"},
		{"no name, but a local one", "", "ec.test", &tls.Config{}, "ec", "TLSv1.3"},
		{"RSA", "rsa.test", "", &tls.Config{}, "rsa", "TLSv1.3"},
		{"ECDSA", "ec.test", "", &tls.Config{}, "ec", "TLSv1.3"},
		{"Ed25519", "ed.test", "", &tls.Config{}, "ed", "TLSv1.3"},
		{"another case", "EC.Test", "", &tls.Config{}, "ec", "TLSv1.3"},
		{"wildcard", "a.wild.test", "", &tls.Config{}, "rsa", "TLSv1.3"},
		{"unknown name", "other.test", "", &tls.Config{}, "rsa", "TLSv1.3"},
		{"a local name counts for nothing beside another", "ed.test", "ec.test", &tls.Config{}, "ed", "TLSv1.3"},
		{"RSA by TLS 1.2", "rsa.test", "", &tls.Config{MaxVersion: tls.VersionTLS12}, "rsa", "TLSv1.2"},
		{"ECDSA by TLS 1.2", "ec.test", "", &tls.Config{MaxVersion: tls.VersionTLS12}, "ec", "TLSv1.2"},
		{"Ed25519 by TLS 1.2", "ed.test", "", &tls.Config{MaxVersion: tls.VersionTLS12}, "ed", "TLSv1.2"},
		{"one name, two kinds, a client for one", "both.test", "", &tls.Config{MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, "ec", "TLSv1.2"},
		{"a client that cannot verify what it asks for", "ed.test", "", &tls.Config{MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}}, "rsa", "TLSv1.2"},
		{"a protocol of another kind", "rsa.test", "", &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, "rsa", "TLSv1.3"},
	} {
		c.config.ServerName, c.config.InsecureSkipVerify = c.asks, true
		server, client, err := meet(t, k, c.local, c.config)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		s := client.ConnectionState()
		if !bytes.Equal(s.PeerCertificates[0].Raw, identities()[c.who].tls.Certificate[0]) || server.Version() != c.version ||
			server.Cipher() != tls.CipherSuiteName(s.CipherSuite) || server.ServerName() != c.asks {
			t.Errorf("%s: %s by %s, %s, for %q", c.name, s.PeerCertificates[0].DNSNames, server.Version(), server.Cipher(), server.ServerName())
		}
		if got, want := server.Bindings(), tlsbinding.Of(&s, s.PeerCertificates[0]); !reflect.DeepEqual(got, want) || len(got) == 0 {
			t.Errorf("%s: the server is bound by %v, the client by %v", c.name, got, want)
		}
		server.Close()
	}
	for _, c := range []struct {
		name   string
		config *tls.Config
		want   string
	}{
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "client offered only unsupported versions"},
		{"RSA without forward secrecy", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, "no cipher suite"},
	} {
		c.config.InsecureSkipVerify = true
		if _, _, err := meet(t, k, "", c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A resumed session is bound as its client sees it, also where another certificate has
// taken the first place since.
func TestResume(t *testing.T) {
	for version, resumed := range map[uint16][]bool{
		tls.VersionTLS12: {false, true, false, true}, // the suite is one for RSA, which no more comes first
		tls.VersionTLS13: {false, true, true, false},
	} {
		d := start(t, "rsa")
		k := d.keys()
		config := &tls.Config{InsecureSkipVerify: true, MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(1), ServerName: "x.test"}
		for i, resumes := range resumed {
			switch i {
			case 2:
				d.load("ec", "rsa")
				await(t, k, 2)
			case 3:
				d.load("ec")
				await(t, k, 1)
			}
			server, client, err := meet(t, k, "", config)
			if err != nil {
				t.Fatal(err)
			}
			go server.Write([]byte("x")) // behind the ticket, in TLS 1.3
			if _, err := client.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			s := client.ConnectionState()
			if got, want := server.Bindings(), tlsbinding.Of(&s, s.PeerCertificates[0]); s.DidResume != resumes || !reflect.DeepEqual(got, want) {
				t.Errorf("%#x, session %d: resumed %t, bound by %v and %v", version, i, s.DidResume, got, want)
			}
		}
	}
}

// await waits until k knows so many certificates.
func await(t *testing.T, k *Keys, n int) {
	t.Helper()
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		k.mu.Lock()
		k.asked = time.Time{}
		k.mu.Unlock()
		if set, err := k.current(); err == nil && len(set.certs) == n {
			return
		}
	}
	t.Fatalf("qmail-keysd does not come to have %d certificates", n)
}

// Without qmail-keys, or without a certificate, there is no TLS, and an error says why.
// With both back there is.
func TestNoKeys(t *testing.T) {
	d := start(t)
	k := d.keys()
	if err := k.Ready(); err != ErrNone {
		t.Errorf("no certificate: %v", err)
	}
	k = New(d.path+"x", time.Now)
	if err := k.Ready(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
	d.load("ec")
	k = d.keys()
	await(t, k, 1)
	d.kill()
	if _, _, err := meet(t, k, "", &tls.Config{InsecureSkipVerify: true}); err == nil || !strings.Contains(err.Error(), "qmail-keys") {
		t.Errorf("killed between list and signature: %v", err)
	}
	d.run("ec")
	if _, _, err := meet(t, k, "", &tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Errorf("run again: %v", err)
	}
}

// A qmail-keysd that does not answer keeps one session waiting, and not for long: all others
// go on with what was known, and it is left alone for a while.
func TestDeafKeys(t *testing.T) {
	d := start(t, "ec")
	var shift atomic.Int64
	k := New(d.path, func() time.Time { return time.Now().Add(time.Duration(shift.Load())) })
	await(t, k, 1)
	if err := d.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer d.cmd.Process.Signal(syscall.SIGCONT)
	const wait = 500 * time.Millisecond
	shift.Store(int64(wait - listTime))
	first := make(chan error, 1)
	go func() {
		var err error
		for err == nil { // it was our look below that it met
			err = k.Ready()
		}
		first <- err
	}()
	for end := time.Now().Add(long); k.renewal.TryLock(); time.Sleep(time.Millisecond) {
		k.renewal.Unlock()
		if time.Now().After(end) {
			t.Fatal("nobody asks")
		}
	}
	if err := k.Ready(); err != nil || len(first) > 0 {
		t.Errorf("beside the one who waits: %v, after that %t", err, len(first) > 0)
	}
	failed := <-first
	if !errors.Is(failed, os.ErrDeadlineExceeded) {
		t.Errorf("who waits: %v", failed)
	}
	if _, err, _, fresh := k.lately(); !fresh || err != failed {
		t.Errorf("afterwards: %v, asked again at once: %t", err, !fresh)
	}
	d.cmd.Process.Signal(syscall.SIGCONT)
	shift.Add(int64(deafTime))
	if err := k.Ready(); err != nil {
		t.Errorf("when it answers again: %v", err)
	}
}

// What is no handshake, or none in time, is an error, for the log.
func TestBadHandshake(t *testing.T) {
	k := start(t, "ec").keys()
	for _, c := range []struct{ name, bytes, want string }{
		{"a command", "EHLO client.test\r\n", "first record does not look like a TLS handshake"},
		{"nothing", "", "EOF"},
		{"half a record", "\x16\x03\x01\x02\x00\x01", "unexpected EOF"},
		{"SSL 2", "\x80\x2e\x01\x00\x02", "unsupported SSLv2 handshake received"},
		{"a record that is too long", "\x16\x03\x01\xff\xff" + strings.Repeat("x", 70000), "oversized record"},
		{"data", "\x17\x03\x03\x00\x01x", "first record does not look like a TLS handshake"},
		{"an alert", "\x15\x03\x01\x00\x02\x02\x28", "handshake failure"},
	} {
		conn, client := connection(t, long)
		go func() {
			io.WriteString(client, c.bytes)
			client.(*net.UnixConn).CloseWrite()
		}()
		if _, err := k.Handshake(conn, ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	conn, _ := connection(t, 20*time.Millisecond)
	if _, err := k.Handshake(conn, ""); err == nil || err.Error() != "the client took too long" {
		t.Errorf("a silent client: %v", err)
	}
	// Each byte in good time, and yet not for long: with each look a second has gone.
	var mu sync.Mutex
	now := time.Now()
	slow := New(k.path, func() time.Time { mu.Lock(); defer mu.Unlock(); now = now.Add(time.Second); return now })
	conn, client := connection(t, time.Hour)
	go func() {
		client.Write([]byte("\x16\x03\x01\x40\x00"))
		for range 1 << 14 {
			if _, err := client.Write([]byte{1}); err != nil {
				return
			}
			time.Sleep(100 * time.Microsecond)
		}
	}()
	if _, err := slow.Handshake(conn, ""); err == nil || err.Error() != "the client took too long" {
		t.Errorf("a slow client: %v", err)
	}
	conn.Close()
}

// counter is memory that counts how often it is out.
type counter struct {
	b   [64]byte
	out int
}

func (m *counter) Borrow() []byte { m.out++; return m.b[:] }
func (m *counter) Return()        { m.out-- }

// The connection reads as the one below it: at once what is there, nothing borrowed
// while it waits, and what came together is not waited for.
func TestRead(t *testing.T) {
	k := start(t, "ec").keys()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c, client, err := meet(t, k, "", &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		m := &counter{}
		if n, rest, err := c.ReadSoon(m); n != 0 || rest <= 0 || err != nil || m.out != 0 {
			t.Errorf("nothing: %d, %v, %v, %d out", n, rest, err, m.out)
		}
		lounge := &ucspi.Lounge{}
		late := make(chan bool, 1)
		if !c.Wait(lounge, long, func(l bool) { late <- l }) {
			t.Fatal("there is no waiting")
		}
		client.Write([]byte("one"))
		if <-late {
			t.Fatal("late")
		}
		client.Write(bytes.Repeat([]byte("2"), 100))
		client.Write([]byte("three"))
		var got string
		for len(got) < 108 {
			m.out = 0
			n, rest, err := c.ReadSoon(m)
			if n == 0 || rest != 0 || err != nil || m.out != 1 {
				t.Fatalf("behind %q: %d, %v, %v", got, n, rest, err)
			}
			got += string(m.b[:n])
			if more := c.Pending(); more && c.Wait(lounge, long, func(bool) {}) {
				t.Fatal("it waits for what is there")
			}
		}
		if got != "one"+strings.Repeat("2", 100)+"three" || c.Pending() {
			t.Errorf("read %q, pending %t", got, c.Pending())
		}
		c.SetTimeouts(20*time.Millisecond, long)
		for range 2 {
			if n, err := c.Read(make([]byte, 5)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("nothing comes: %d, %v", n, err)
			}
		}
		c.SetTimeouts(long, long)
		back := make(chan []byte)
		go func() { b, _ := io.ReadAll(client); back <- b }()
		if n, err := c.Write(make([]byte, 1<<20)); n != 1<<20 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		client.CloseWrite()
		if n, err := c.Read(make([]byte, 5)); n != 0 || err != io.EOF {
			t.Errorf("after goodbye: %d, %v", n, err)
		}
		c.Close()
		if b := <-back; len(b) != 1<<20 {
			t.Errorf("the client read %d bytes", len(b))
		}
		if c.wire.chunk != nil {
			t.Error("a chunk is left")
		}
	}
}

// A record that comes in pieces is read as one that comes whole, and one that stops half
// way is waited for as long as any.
func TestPieces(t *testing.T) {
	k := start(t, "ec").keys()
	conn, raw := connection(t, long)
	var mu sync.Mutex
	var sent bytes.Buffer
	kept := false
	client := tls.Client(&pieces{Conn: raw, write: func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if kept {
			return sent.Write(b)
		}
		for i := range b {
			if _, err := raw.Write(b[i : i+1]); err != nil {
				return i, err
			}
		}
		return len(b), nil
	}}, &tls.Config{InsecureSkipVerify: true})
	go client.Handshake()
	c, err := k.Handshake(conn, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	kept = true
	mu.Unlock()
	client.Write([]byte("whole"))
	c.SetTimeouts(20*time.Millisecond, long)
	record := sent.Bytes()
	for i := range record {
		raw.Write(record[i : i+1])
		if i == len(record)-1 {
			break
		}
		if n, err := c.Read(make([]byte, 9)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("after byte %d: %d, %v", i, n, err)
		}
	}
	b := make([]byte, 9)
	if n, err := c.Read(b); string(b[:n]) != "whole" || err != nil {
		t.Errorf("read %q, %v", b[:n], err)
	}
	raw.Close()
	if _, err := c.Read(b); err != io.ErrUnexpectedEOF {
		t.Errorf("an end without goodbye: %v", err)
	}
}

// pieces is a connection whose writes are another's.
type pieces struct {
	net.Conn
	write func([]byte) (int, error)
}

func (p *pieces) Write(b []byte) (int, error) { return p.write(b) }

func TestHostName(t *testing.T) {
	for name, want := range map[string]string{"a.Test": "a.Test", "_a-1.test": "_a-1.test", "": "", "a\x00b": "", "a b": "", "a\nb": "", "a=b": "", "é.test": "",
		strings.Repeat("a", 255): strings.Repeat("a", 255), strings.Repeat("a", 256): ""} {
		if got := hostName(name); got != want {
			t.Errorf("%q is %q", name, got)
		}
	}
}

// FuzzFirstBytes: whatever a client sends first, the handshake ends, and is no session
// unless the client knows what it does.
func FuzzFirstBytes(f *testing.F) {
	k := start(f, "rsa", "ec", "ed").keys()
	f.Add([]byte("EHLO client.test\r\n"))
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"))
	f.Add([]byte("\x80\x2e\x01\x00\x02"))
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS12, tls.VersionTLS13} {
		near, far := net.Pipe()
		go tls.Client(near, &tls.Config{InsecureSkipVerify: true, ServerName: "ec.test", MinVersion: version, MaxVersion: version}).Handshake()
		hello := make([]byte, 4096)
		n, _ := far.Read(hello)
		f.Add(hello[:n])
		far.Close()
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		conn, client := connection(t, long)
		go func() {
			client.Write(b)
			client.(*net.UnixConn).CloseWrite()
			io.Copy(io.Discard, client)
		}()
		c, err := k.Handshake(conn, "")
		if err == nil {
			t.Errorf("%q is a handshake, of %s", b, c.Version())
		} else if strings.ContainsAny(err.Error(), "\n\r\x00") {
			t.Errorf("%q is not for a log", err)
		}
		conn.Close()
	})
}
