package suite

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quail/internal/mailauth"
	"quail/internal/remote"
)

// Mail that leaves by TLS, and by relays that want to know whose it is.

// certificate makes one for this host's address, signed by itself, and returns it and its
// key in their usual form.
func certificate(t testing.TB) (public, secret string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relay"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	form := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return form("CERTIFICATE", der), form("PRIVATE KEY", private)
}

// secrets writes control/remotesecrets as it has to be.
func (s *suite) secrets(lines string) {
	s.t.Helper()
	s.control("remotesecrets", lines)
	path := s.path("control/remotesecrets")
	if err := os.Chmod(path, 0o400); err != nil {
		s.t.Fatal(err)
	}
	if root {
		uid, err := strconv.Atoi(account(s.t, "passwd", "qmailr"))
		if err != nil || os.Chown(path, uid, -1) != nil {
			s.t.Fatalf("owner of %s: %v", path, err)
		}
	}
}

// relayScript is a server of Python's aiosmtpd that takes mail from joe alone and by TLS
// alone, and keeps it in a Maildir.
const relayScript = `
import asyncio, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
from aiosmtpd.handlers import Mailbox

port, pem, maildir = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(pem)

def check(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"joe@far.example", b"to:p secret"), handled=False)

def session():
    return SMTP(Mailbox(maildir), hostname="relay.example", tls_context=context, require_starttls=True,
                authenticator=check, auth_required=True, auth_require_tls=True)

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(loop.create_server(session, "127.0.0.1", int(port)))
loop.run_forever()
`

// aiosmtpd starts that server and returns its port and Maildir.
func aiosmtpd(t testing.TB, pem string) (port int, maildir string, ok bool) {
	program, ok := tool(t, "aiosmtpd")
	python, found := tool(t, "python3")
	if !ok || !found {
		return 0, "", false
	}
	dir := t.TempDir()
	for name, contents := range map[string]string{"relay.py": relayScript, "relay.pem": pem} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(contents), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	library, err := filepath.Abs(filepath.Join(filepath.Dir(program), "../root/usr/lib/python3/dist-packages"))
	if err != nil {
		t.Fatal(err)
	}
	port = freePort(t)
	maildir = filepath.Join(dir, "Maildir")
	background(t, dir, "env", "PYTHONPATH="+library, python, "relay.py", fmt.Sprint(port), "relay.pem", maildir)
	eventually(t, "aiosmtpd", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return port, maildir, true
}

// sealed puts TLS before a server that knows nothing of it, and returns the port.
func sealed(t testing.TB, public, secret string, server int) (port int) {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(public), []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", server))
			if err != nil {
				client.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				io.Copy(to, from)
				to.Close()
			}
			go pass(conn, client)
			go pass(client, conn)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// Python's server, whose TLS is OpenSSL's, wants TLS and a password; Postfix's test
// server knows neither, and is behind TLS for one recipient.
func TestRelays(t *testing.T) {
	public, secret := certificate(t)
	port, maildir, ok := aiosmtpd(t, public+secret)
	if !ok {
		return
	}
	plain, taken, ok := sink(t)
	if !ok {
		return
	}
	s := install(t)
	s.control("tlscas", public)
	s.control("smtproutes", fmt.Sprintf("far.example:127.0.0.1:%[1]d joe@far.example\nwrong.example:127.0.0.1:%[1]d sue\nnone.example:127.0.0.1:%[1]d jim\n"+
		"clear.example:127.0.0.1:%[2]d\nmust.example:127.0.0.1:%[2]d\nsealed.example:127.0.0.1:%[3]d\n", port, plain, sealed(t, public, secret, plain)))
	s.control("tlsroutes", "must.example:require\nsealed.example:implicit\n")
	s.secrets("127.0.0.1:joe@far.example:to:p secret\n127.0.0.1:sue:to:p secret\n")
	s.start()
	for _, to := range []string{"far", "wrong", "none", "clear", "must", "sealed"} {
		s.inject("joe@"+me, "you@"+to+".example", "Subject: for "+to+"\n\nhello\n")
	}
	for _, want := range []string{
		": success: 127.0.0.1_accepted_message./Remote_host_said:_250_OK/TLSv1.3_TLS_", ",_certificate_of_127.0.0.1_is_right./\n",
		": deferral: Connected_to_127.0.0.1_but_it_refused_the_secret_of_sue_at_127.0.0.1_in_control/remotesecrets./Remote_host_said:_535_",
		": deferral: There_is_no_secret_in_control/remotesecrets_for_jim_at_127.0.0.1,_which_control/smtproutes_names._(#4.3.0)/\n",
		": deferral: Connected_to_127.0.0.1_but_it_offers_no_TLS,_which_control/tlsroutes_wants._(#4.7.4)/\n",
		": success: 127.0.0.1_accepted_message./Remote_host_said:_250_2.0.0_Ok/\n",
		": success: 127.0.0.1_accepted_message./Remote_host_said:_250_2.0.0_Ok/TLSv1.3_TLS_",
	} {
		s.wait(want)
	}
	if strings.Contains(s.logged(), "secret_to:p") || strings.Contains(s.logged(), "to:p") {
		t.Error("the secret is in the log")
	}
	got, err := filepath.Glob(maildir + "/new/*")
	if err != nil || len(got) != 1 {
		t.Fatalf("the relay has %v, %v, want one message", got, err)
	}
	if b, err := os.ReadFile(got[0]); err != nil || !strings.Contains(string(b), "Subject: for far\n") {
		t.Errorf("the relay has got %q, %v", b, err)
	}
	if m := sunk(t, taken); len(m) != 2 {
		t.Errorf("the server without TLS has got %d messages, want two", len(m))
	}
	// A file that others can read is of no use, from the next delivery on.
	if err := os.Chmod(s.path("control/remotesecrets"), 0o404); err != nil {
		t.Fatal(err)
	}
	s.inject("joe@"+me, "you@far.example", "again\n")
	s.wait(": deferral: Unable_to_use_control/remotesecrets:_others_than_its_owner_may_read_it:_its_mode_should_be_0400._(#4.3.0)/\n")
}

// A second Quail takes mail for everywhere from who has logged in. Both ends agree on the
// strongest mechanism, bound to the connection, and the way back from it is a program in
// qmail-queue's place.
func TestRelayQuail(t *testing.T) {
	s := install(t)
	trust, _ := s.underTLS()
	public, err := os.ReadFile(trust)
	if err != nil {
		t.Fatal(err)
	}
	owner, group := os.Getuid(), os.Getgid()
	if root {
		owner, _ = strconv.Atoi(account(t, "passwd", "qmailp"))
		group, _ = strconv.Atoi(account(t, "group", "qmail"))
	}
	var random [32]byte
	var salts [2][16]byte
	rand.Read(random[:])
	rand.Read(salts[0][:])
	rand.Read(salts[1][:])
	if err := mailauth.Edit(s.path(mailauth.Path), "joe", owner, group, random, func(*mailauth.Entry) (*mailauth.Entry, error) {
		e, err := mailauth.New("joe", "a secret", salts)
		return &e, err
	}); err != nil {
		t.Fatal(err)
	}
	s.spawn(s.errors, nil, "bin/qmail-auth")
	eventually(t, "qmail-auth to listen", func() bool { _, err := os.Stat(s.path("auth/login")); return err == nil })
	box := s.path("taken")
	if err := os.MkdirAll(box, 0o755); err != nil || os.Chmod(box, 0o777|fs.ModeSticky) != nil {
		t.Fatal(err)
	}
	store := s.script("store", "cat >"+box+"/message && exec cat <&1 >"+box+"/envelope")
	s.excuse(declined, "what is in qmail-queue's place is run by a cold qmail-smtpd")
	port := s.smtpd("QMAILQUEUE="+store, "FORCETLS=1")
	s.control("smtproutes", fmt.Sprintf("far.example:127.0.0.1:%[1]d joe\nnobody.example:127.0.0.1:%[1]d\nwrong.example:127.0.0.1:%[1]d sue\n", port))
	s.secrets("127.0.0.1:joe:a secret\n127.0.0.1:sue:another\n")
	s.start()
	// The system's authorities, which are outside of the home, do not know this one.
	want := ": deferral: Connected_to_127.0.0.1_but_TLS_failed:_tls:_failed_to_verify_certificate:_x509:_certificate_signed_by_unknown_authority._(#4.7.5)/\n"
	if !slices.ContainsFunc(remote.Bundles, func(path string) bool { _, err := os.Stat(path); return err == nil }) {
		want = ",_by_which_certificates_are_checked._(#4.3.0)/\n"
	}
	s.inject("joe@"+me, "you@far.example", "not relayed\n")
	s.wait(want)
	s.control("tlscas", string(public))
	s.inject("joe@"+me, "you@far.example", "Subject: relayed\n\nhello\n")
	s.wait(",_certificate_of_127.0.0.1_is_right./\n")
	b, err := os.ReadFile(box + "/message")
	if err != nil || !strings.Contains(string(b), "Subject: relayed\n") || !strings.Contains(string(b), "ESMTPSA") {
		t.Errorf("the second Quail has got %q, %v", b, err)
	}
	s.inject("joe@"+me, "you@nobody.example", "not relayed\n")
	s.wait(": failure: 127.0.0.1_does_not_like_recipient./Remote_host_said:_553_")
	s.inject("joe@"+me, "you@wrong.example", "not relayed\n")
	s.wait(": deferral: Connected_to_127.0.0.1_but_it_refused_the_secret_of_sue_at_127.0.0.1_in_control/remotesecrets.")
}
