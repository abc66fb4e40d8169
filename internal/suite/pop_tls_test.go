package suite

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// POP3 under TLS, and what else a client may do before it has logged in.

// underTLS gives the host a certificate, runs qmail-keys, and returns the file that a
// client has to trust, and that trust.
func (s *suite) underTLS() (file string, trust *x509.CertPool) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: me}, DNSNames: []string{me}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.control("servercert.pem", string(certificate)+string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	if err := os.Chmod(s.path("control/servercert.pem"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	file = filepath.Join(s.t.TempDir(), "certificate")
	if err := os.WriteFile(file, certificate, 0o644); err != nil {
		s.t.Fatal(err)
	}
	trust = x509.NewCertPool()
	trust.AppendCertsFromPEM(certificate)
	s.spawn(s.errors, nil, "bin/qmail-keys")
	eventually(s.t, "qmail-keys to listen", func() bool { return s.exists("auth/keys") })
	return file, trust
}

func TestCurlPOPTLS(t *testing.T) {
	curl, ok := tool(t, "curl")
	if !ok {
		return
	}
	s := install(t)
	seen := s.stored()
	trust, _ := s.underTLS()
	ports := map[string]int{"pop3": s.pop3("FORCETLS=1"), "pop3s": s.pop3("POP3S=", "FORCETLS=1")}
	for scheme, port := range ports {
		url := fmt.Sprintf("%s://127.0.0.1:%d/", scheme, port)
		get := func(path string, args ...string) (string, error) {
			args = append([]string{"-sS", "--max-time", "60", "--ssl-reqd", "--cacert", trust, "-u", "joe:secret", url + path}, args...)
			out, err := run(curl, args...)
			return strings.ReplaceAll(out, "\r\n", "\n"), err
		}
		for _, i := range []int{1, 3} { // dots, and a long line
			if got, err := get(fmt.Sprint(i + 1)); got != seen[i] || err != nil {
				t.Errorf("%s: message %d is %.200q, %v, want %.200q", scheme, i+1, got, err, seen[i])
			}
		}
		if out, err := get("", "-u", "joe:wrong"); err == nil || !strings.Contains(out, "67") {
			t.Errorf("%s: a wrong password: %v, %s", scheme, err, out)
		}
		if got, err := get("", "--login-options", "AUTH=+APOP"); strings.Count(got, "\n") != len(seen) || err != nil {
			t.Errorf("%s: by APOP: %q, %v", scheme, got, err)
		}
	}
	// In plain nobody gets in.
	if out, err := run(curl, "-sS", "--max-time", "60", "-u", "joe:secret", fmt.Sprintf("pop3://127.0.0.1:%d/", ports["pop3"])); err == nil {
		t.Errorf("without TLS: %s", out)
	}
}

func TestFetchmailTLS(t *testing.T) {
	fetchmail, ok := tool(t, "fetchmail")
	if !ok {
		return
	}
	s := install(t)
	trust, _ := s.underTLS()
	forced, implicit, plain := s.pop3("FORCETLS=1"), s.pop3("POP3S="), s.pop3()
	dir := t.TempDir()
	secure := "sslcertck sslcommonname " + me + " sslcertfile " + trust
	for i, c := range []struct {
		protocol, options, shows string
		port                     int
	}{
		{"pop3", "sslproto 'TLS1.2+' " + secure, "POP3> STLS", forced},
		{"pop3", "ssl " + secure, "POP3> PASS *", implicit},
		{"apop", "ssl " + secure, "POP3> APOP joe ", implicit}, // after STLS it knows no APOP
		{"apop", "sslproto ''", "POP3> APOP joe ", plain},
	} {
		s.stored()
		rc := dir + "/rc"
		text := fmt.Sprintf("set no bouncemail\nset invisible\npoll 127.0.0.1 service %d protocol %s uidl timeout 60:\n\tuser joe password secret mda \"cat >>%s/got\" fetchall nokeep %s\n", c.port, c.protocol, dir, c.options)
		if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(fetchmail, "-v", "-N", "-f", rc, "-i", dir+"/ids", "--pidfile", dir+"/pid")
		cmd.Env = []string{"HOME=" + dir, "USER=joe", "PATH=/usr/bin:/bin", "LC_ALL=C", "FETCHMAILHOME=" + dir}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.shows) || len(s.inMaildir()) > 0 {
			t.Errorf("%s %s: %v, left are %q\n%s", c.protocol, c.options, err, s.inMaildir(), tail(string(out), 3000))
		}
		if got, _ := os.ReadFile(dir + "/got"); strings.Count(string(got), "Subject: dots\n") != i+1 {
			t.Errorf("%s %s: it got %.2000q", c.protocol, c.options, got)
		}
	}
}

func TestMpopTLS(t *testing.T) {
	mpop, ok := tool(t, "mpop")
	if !ok {
		return
	}
	s := install(t)
	seen := s.stored()
	trust, _ := s.underTLS()
	ports := map[string]int{"on": s.pop3(), "off": s.pop3("POP3S=")}
	dir := t.TempDir()
	for _, auth := range []string{"user", "apop"} {
		for starttls, port := range ports {
			box := filepath.Join(dir, auth+starttls)
			for _, sub := range []string{"tmp", "new", "cur"} {
				if err := os.MkdirAll(filepath.Join(box, sub), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			text := fmt.Sprintf("account default\nhost 127.0.0.1\nport %d\nuser joe\npassword secret\ntls on\ntls_starttls %s\ntls_trust_file %s\nauth %s\nkeep on\nreceived_header off\npipelining auto\ntimeout 60\nuidls_file %s/uidls\ndelivery maildir %[5]s\n", port, starttls, trust, auth, box)
			if err := os.WriteFile(dir+"/rc", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out := must(t, mpop, "-C", dir+"/rc", "-d")
			if names, _ := filepath.Glob(box + "/new/*"); len(names) != len(seen) || !strings.Contains(out, "PIPELINING") {
				t.Errorf("%s, STARTTLS %s: it got %d messages, want %d\n%s", auth, starttls, len(names), len(seen), tail(out, 2000))
			}
		}
	}
}

// Python's client logs in by each way and asks for UTF-8.
func TestPoplib(t *testing.T) {
	python, ok := tool(t, "python3")
	if !ok {
		return
	}
	s := install(t)
	const text = "Subject: gr\u00fcn\nFrom: J\u00fcrgen <j\u00fcrgen@b\u00fccher.example>\n\nsch\u00f6n\n"
	s.joe("Maildir/new/1.a", text, 0o600)
	s.age("u/joe/Maildir/new/1.a", 1000)
	trust, _ := s.underTLS()
	const script = `
import poplib, ssl, sys
port, trust, stored = int(sys.argv[1]), sys.argv[2], sys.argv[3].encode()
def session(tls, utf8, apop):
    c = poplib.POP3('127.0.0.1', port, timeout=60)
    if tls:
        assert 'STLS' in c.capa(), c.capa()
        c.stls(ssl.create_default_context(cafile=trust))
        assert 'STLS' not in c.capa(), c.capa()
    if utf8:
        c.utf8()
    if apop:
        c.apop('joe', 'secret')
    else:
        c.user('joe')
        c.pass_('secret')
    assert c.capa()['UTF8'] == [] and c.capa()['EXPIRE'] == ['NEVER'], c.capa()
    assert c.stat() == (1, len(stored)), c.stat()
    assert c.uidl()[1] == [b'1 1.a'], c.uidl()
    assert c.top(1, 0)[1] == c.retr(1)[1][:-2] + [b''], c.top(1, 0)
    text = c.retr(1)[1]
    c.quit()
    return text
for tls in 0, 1:
    for apop in 0, 1:
        assert session(tls, 1, apop) == stored.split(b'\n'), session(tls, 1, apop)
        print(b'\n'.join(session(tls, 0, apop)).decode())
`
	out := must(t, python, "-c", script, fmt.Sprint(s.pop3()), trust, text)
	want := "Subject: =?utf-8?b?Z3LDvG4=?=\nFrom: =?utf-8?b?SsO8cmdlbiA8asO8cmdlbkBiw7xjaGVyLmV4YW1wbGU+?=\n <invalid@internationalized-address.invalid>\n\nsch\u00f6n\n\n"
	if out != strings.Repeat(want, 4) {
		t.Errorf("it reads %s, want %s", out, want)
	}
}

// OpenSSL's client finds two versions of TLS, and no older one.
func TestOpenSSLPOP(t *testing.T) {
	openssl, ok := tool(t, "openssl")
	if !ok {
		return
	}
	s := install(t)
	trust, _ := s.underTLS()
	at := fmt.Sprintf("127.0.0.1:%d", s.pop3())
	for _, c := range []struct{ version, want string }{
		{"-tls1_3", "New, TLSv1.3"}, {"-tls1_2", "New, TLSv1.2"}, {"-tls1_1", ""}, {"-tls1", ""},
	} {
		cmd := exec.Command(openssl, "s_client", "-starttls", "pop3", "-crlf", "-connect", at, "-CAfile", trust, "-verify_return_error", "-cipher", "DEFAULT:@SECLEVEL=0", c.version)
		cmd.Stdin = strings.NewReader("QUIT\n")
		out, err := cmd.CombinedOutput()
		if c.want == "" && err == nil || c.want != "" && !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v\n%s", c.version, err, out)
		}
	}
}

// popClient is one that says what it likes.
type popClient struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	// timestamp is that of the greeting.
	timestamp string
}

func (s *suite) popClient(t *testing.T, port int) *popClient {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(deadline))
	c := &popClient{t: t, conn: conn, r: bufio.NewReader(conn)}
	c.timestamp = strings.TrimSpace(strings.TrimPrefix(c.hear("+OK <"), "+OK "))
	return c
}

// hear reads a line that has to begin with want.
func (c *popClient) hear(want string) string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, want) {
		c.t.Fatalf("heard %q, %v, want %q", line, err, want)
	}
	return line
}

// say sends bytes and reads a line for each prefix.
func (c *popClient) say(bytes string, want ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, bytes); err != nil {
		c.t.Fatal(err)
	}
	for _, w := range want {
		c.hear(w)
	}
}

// stls begins TLS.
func (c *popClient) stls(trust *x509.CertPool) *tls.Conn {
	c.t.Helper()
	c.say("STLS\r\n", "+OK ")
	secure := tls.Client(c.conn, &tls.Config{RootCAs: trust, ServerName: me})
	if err := secure.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.r = secure, bufio.NewReader(secure)
	return secure
}

// end wants nothing more to be said.
func (c *popClient) end() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); len(rest) > 0 || err != nil {
		c.t.Errorf("at the end: %q, %v", rest, err)
	}
}

// What a client sends behind its password reaches the server, in plain and under TLS, in
// one piece or byte by byte; and all that the server says reaches the client.
func TestPipelinedLogin(t *testing.T) {
	s := install(t)
	seen := s.stored()
	_, trust := s.underTLS()
	port := s.pop3()
	for _, secure := range []bool{false, true} {
		for _, step := range []int{1, 7, 1 << 20} {
			c := s.popClient(t, port)
			if secure {
				c.stls(trust)
			}
			said := "USER joe\r\nPASS secret\r\nSTAT\r\nRETR 5\r\nRETR 4\r\nQUIT\r\n"
			go func() {
				for piece := range slices.Chunk([]byte(said), step) {
					c.conn.Write(piece)
				}
			}()
			b, err := io.ReadAll(c.r)
			got := strings.ReplaceAll(string(b), "\r\n", "\n")
			first, rest, _ := strings.Cut(got, "\n+OK \n")
			_, rest, _ = strings.Cut(rest, "\n")
			want := "+OK \n" + seen[4] + ".\n+OK \n" + seen[3] + ".\n+OK \n"
			if err != nil || first != "+OK " || rest != want {
				t.Errorf("TLS %v, %d bytes at a time: %.100q…%.100q, %d of %d bytes, %v", secure, step, got, tail(got, 60), len(rest), len(want), err)
			}
		}
	}
}

// What is said before TLS, or behind STLS without it, counts for nothing.
func TestSTLS(t *testing.T) {
	s := install(t)
	_, trust := s.underTLS()
	port := s.pop3()
	digest := func(c *popClient) string { return fmt.Sprintf("%x", md5.Sum([]byte(c.timestamp+"secret"))) }

	c := s.popClient(t, port)
	c.say("USER joe\r\nSTLS x\r\n", "+OK", "-ERR")
	c.stls(trust)
	c.say("PASS secret\r\nSTLS\r\nCAPA\r\n", "-ERR USER first", "-ERR authorization first",
		"+OK", "USER", "TOP", "UIDL", "PIPELINING", "EXPIRE NEVER", "UTF8", ".")
	c.say("APOP joe "+digest(c)+"\r\n", "+OK ")
	c.say("QUIT\r\n", "+OK ")
	c.end()

	// A digest of another connection is of no use.
	old := s.popClient(t, port)
	c = s.popClient(t, port)
	c.stls(trust)
	c.say("APOP joe "+digest(old)+"\r\n", "-ERR authorization failed")
	c.end()
	old.say("QUIT\r\n", "+OK")

	for _, behind := range []string{"USER joe\r\nPASS secret\r\nSTAT\r\n", "\x16\x03", "\x80\x2e\x01\x03\x01\x00", strings.Repeat("x", 1<<17)} {
		c = s.popClient(t, port)
		go c.conn.Write([]byte("STLS\r\n" + behind))
		c.hear("+OK ")
		c.conn.(*net.TCPConn).CloseWrite()
		if rest, _ := io.ReadAll(c.r); strings.Contains(string(rest), "+OK") || strings.Contains(string(rest), "-ERR") {
			t.Errorf("%.20q: heard %q", behind, rest)
		}
	}
	eventually(t, "complaints about what is no TLS", func() bool {
		b, _ := os.ReadFile(s.errors.Name())
		return strings.Count(string(b), "qmail-popnet: fatal: TLS handshake failed: ") == 4
	})

	// Without certificates there is no STLS.
	if err := os.Remove(s.path("auth/keys")); err != nil {
		t.Fatal(err)
	}
	c = s.popClient(t, port)
	c.say("STLS\r\nCAPA\r\n", "-ERR authorization first", "+OK", "USER", "TOP", "UIDL", "PIPELINING", "EXPIRE NEVER", "UTF8", ".")
	c.say("QUIT\r\n", "+OK")
	c.end()
}

// Programs that check passwords and die, say something or refuse are answered alike in
// plain and under TLS.
func TestPOPChecks(t *testing.T) {
	s := install(t)
	_, trust := s.underTLS()
	check := s.path("check")
	s.excuse(foreign, "each POP session is a process of its own")
	port := s.tcpserver([]string{s.path("bin/qmail-popup"), me, check, "one", "two words"})
	for _, c := range []struct{ does, heard string }{
		{"kill -9 $$", "-ERR aack, child crashed\r\n"},
		{"echo hello; exit 1", "hello\n-ERR authorization failed\r\n"},
		{"exit 111", "-ERR authorization failed\r\n"},
		{"exit 0", ""},
		{"tr '\\000' ' ' <&3; echo $# $2 $POP3UTF8; read line; echo $line", "joe secret TIMESTAMP 2 two words on\nhello\n"},
		{"head -c 1000000 /dev/zero; exit 1", strings.Repeat("\x00", 1000000) + "-ERR authorization failed\r\n"},
		// The end of what the client says is passed on, and waited for.
		{"cat; echo end", "hello\nend\n"},
	} {
		if err := os.WriteFile(check, []byte("#!/bin/sh\n"+c.does+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, secure := range []bool{false, true} {
			p := s.popClient(t, port)
			over := p.conn.(interface{ CloseWrite() error })
			if secure {
				over = p.stls(trust)
			}
			behind := ""
			if strings.Contains(c.heard, "hello\nend") || strings.Contains(c.heard, "words") {
				behind = "hello\n" // what nobody reads makes the kernel cut a connection off
			}
			p.say("UTF8\r\nUSER joe\r\nPASS secret\r\n"+behind, "+OK ", "+OK ")
			// A program may have gone before the client has said that this is all.
			over.CloseWrite()
			b, err := io.ReadAll(p.r)
			if got := strings.Replace(string(b), p.timestamp, "TIMESTAMP", 1); got != c.heard || err != nil {
				t.Errorf("%s, TLS %v: heard %.200q, %v, want %.200q", c.does, secure, got, err, c.heard)
			}
		}
	}
}

// The suite's own checkpassword, with logins that are for mail alone: by password, and by
// digest where the secret is kept.
func TestPOPCheckpassword(t *testing.T) {
	if !asRoot(t, "only root becomes the user who has logged in") {
		return
	}
	s := install(t)
	_, trust := s.underTLS()
	uid, _ := strconv.Atoi(account(t, "passwd", "daemon"))
	gid, _ := strconv.Atoi(account(t, "group", "daemon"))
	for _, dir := range []string{"m", "m/new", "m/cur", "m/tmp"} {
		s.mkdir(dir, 0o700, uid, gid)
	}
	set := func(password string, args ...string) {
		t.Helper()
		cmd := exec.Command(s.path("bin/qmail-passwd"), args...)
		cmd.Stdin = strings.NewReader(password + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("qmail-passwd %q: %v, %s", args, err, out)
		}
	}
	set("open sesame", "-s", "-u", "daemon", "alice@"+me)
	set("secret", "-u", "daemon", "bob")
	set("gr\u00fcn", "-u", "daemon", "j\u00f6rg")
	s.excuse(foreign, "each POP session is a process of its own")
	port := s.tcpserver([]string{s.path("bin/qmail-popup"), me, s.path("bin/checkpassword"), s.path("bin/qmail-pop3d"), s.path("m")})
	digest := func(c *popClient, secret string) string {
		return fmt.Sprintf("%x", md5.Sum([]byte(c.timestamp+secret)))
	}
	for _, secure := range []bool{false, true} {
		for _, login := range []struct {
			name, password string
			good, apop     bool
		}{
			{"alice@" + me, "open sesame", true, true},
			{"alice@" + me, "open sesam", false, false},
			{"bob", "secret", true, false},
			{"bob", "", false, false},
			{"nobody-at-all", "secret", false, false},
			{"root", "secret", false, false},
			{"j\u00f6rg", "gr\u00fcn", true, false},
			{"j\u00f6rg", "gru\u0308n", false, false}, // it is what it is
		} {
			for _, apop := range []bool{false, true} {
				c := s.popClient(t, port)
				if secure {
					c.stls(trust)
				}
				answer := "-ERR"
				if apop && login.apop || !apop && login.good {
					answer = "+OK "
				}
				if apop {
					c.say("APOP "+login.name+" "+digest(c, login.password)+"\r\n", answer)
				} else {
					c.say("USER "+login.name+"\r\nPASS "+login.password+"\r\n", "+OK ", answer)
				}
				c.conn.Close()
			}
		}
	}
}
