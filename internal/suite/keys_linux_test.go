package suite

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// qmail-keys, and tcpserver's mode for programs that know nothing of TLS, with OpenSSL and
// curl at the other end.

// certify returns a certificate for a host and its key, in PEM.
func certify(t testing.TB, host string, key crypto.Signer) (certificate, secret string) {
	t.Helper()
	of := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// secret writes a file that its owner alone can read, as a careful program replaces it.
func (s *suite) secret(rel, contents string) {
	s.t.Helper()
	path := s.path(rel)
	if err := os.WriteFile(path+".new", []byte(contents), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

// live makes a directory as certbot has it, of links into another, for its nth
// certificate.
func (s *suite) live(host string, n int, key crypto.Signer) {
	s.t.Helper()
	certificate, private := certify(s.t, host, key)
	for _, dir := range []string{"live/" + host, "archive/" + host} {
		if err := os.MkdirAll(s.path("control/le/"+dir), 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
	for name, contents := range map[string]string{"privkey": private, "fullchain": certificate} {
		s.secret(fmt.Sprintf("control/le/archive/%s/%s%d.pem", host, name, n), contents)
		link := s.path("control/le/live/" + host + "/" + name + ".pem")
		if err := os.Symlink(fmt.Sprintf("../../archive/%s/%s%d.pem", host, name, n), link+".new"); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			s.t.Fatal(err)
		}
	}
}

// keyring runs qmail-keys with an RSA key in the usual file, an ECDSA key as certbot and
// an Ed25519 key as lego leave them.
func (s *suite) keyring() *process {
	s.t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	certificate, private := certify(s.t, "rsa.example", rsaKey)
	s.secret("control/servercert.pem", private+certificate)
	s.live("ec.example", 1, ecKey)
	certificate, private = certify(s.t, "ed.example", edKey)
	s.secret("control/ed.example.crt", certificate)
	s.secret("control/ed.example.key", private)
	s.control("tlscerts", "servercert.pem\nle/live/ec.example\ned.example.crt\n")
	p := s.spawn(s.errors, nil, "bin/qmail-keys")
	eventually(s.t, "qmail-keys to have read the last file", func() bool { return strings.Contains(s.complaints(), "ed.example.crt: a certificate") })
	return p
}

// complaints returns what programs have said on descriptor 2.
func (s *suite) complaints() string {
	s.t.Helper()
	text, err := os.ReadFile(s.errors.Name())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// plain runs tcpserver with a program that says which session it has, and then all that
// it hears, and returns the port.
func (s *suite) plain() int {
	s.t.Helper()
	s.excuse(foreign, "qmail-tls stands before a shell")
	options := []string{"-s", "-Q"}
	if root {
		options = append(options, "-u", account(s.t, "passwd", "qmaild"), "-g", account(s.t, "group", "nofiles"))
	}
	return s.tcpserver(append(options, "sh", "-c", "echo $SSL_PROTOCOL $SSL_CIPHER ${SSL_TLS_SNI_SERVERNAME-none} ; cat"))
}

// sclient has OpenSSL connect and say hello, and returns all that it says until it hears
// that again or has been given up.
func sclient(t testing.TB, port int, options ...string) string {
	t.Helper()
	args := append([]string{"s_client", "-connect", "127.0.0.1:" + strconv.Itoa(port), "-ign_eof"}, options...)
	cmd := exec.Command("openssl", args...)
	cmd.Stdin = strings.NewReader("hello\n")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
	var all []byte
	for b := make([]byte, 65536); !strings.Contains(string(all), "\nhello\n"); {
		n, err := out.Read(b)
		all = append(all, b[:n]...)
		if err != nil {
			break
		}
	}
	if watchdog.Stop() {
		cmd.Process.Kill()
	} else {
		t.Errorf("openssl %s has not come to an end, after\n%s", strings.Join(args, " "), all)
	}
	cmd.Wait()
	return string(all)
}

func TestTLSFront(t *testing.T) {
	if _, ok := tool(t, "openssl"); !ok {
		return
	}
	s := install(t)
	s.keyring()
	port := s.plain()
	for _, c := range []struct {
		options, session, peer string // no session: refused
	}{
		{"-tls1", "", ""},
		{"-tls1_1", "", ""},
		{"-tls1_2 -noservername", "TLSv1.2 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 none", "rsa"},
		{"-tls1_3 -noservername", "TLSv1.3 TLS_AES_128_GCM_SHA256 none", "rsa"},
		{"-tls1_2 -servername ec.example", "TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 ec.example", "ecdsa"},
		{"-tls1_3 -servername ec.example", "TLSv1.3 TLS_AES_128_GCM_SHA256 ec.example", "ecdsa"},
		{"-tls1_3 -servername ed.example", "TLSv1.3 TLS_AES_128_GCM_SHA256 ed.example", "ed25519"},
		{"-servername ed.example -sigalgs rsa_pss_rsae_sha256", "TLSv1.3 TLS_AES_128_GCM_SHA256 ed.example", "rsa"},
		{"-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256 -servername x.example", "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256 x.example", "rsa"},
		{"-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305 -servername x.example", "TLSv1.2 TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 x.example", "rsa"},
		{"-tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384 -groups P-521 -servername x.example", "TLSv1.2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 x.example", "rsa"},
		{"-tls1_2 -cipher AES128-GCM-SHA256", "", ""},
		{"-alpn h2,smtp -servername rsa.example", "TLSv1.3 TLS_AES_128_GCM_SHA256 rsa.example", "rsa"},
	} {
		out := sclient(t, port, strings.Fields(c.options)...)
		if c.session == "" {
			if strings.Contains(out, "hello") || !strings.Contains(out, "alert") {
				t.Errorf("%s: %s", c.options, out)
			}
			continue
		}
		if !strings.Contains(out, c.session+"\nhello\n") || !strings.Contains(strings.ToLower(out), "peer signature type: "+c.peer) {
			t.Errorf("%s: want %s by %s, have %s", c.options, c.session, c.peer, out)
		}
	}
}

// Who speaks TLS is qmaild behind a wall, also where root runs all, and the program is who
// has run tcpserver. When both have ended nobody is left.
func TestTLSHalves(t *testing.T) {
	s := install(t)
	_, trust := s.underTLS()
	s.excuse(foreign, "qmail-tls stands before cat")
	port := s.tcpserver([]string{"-s", "-Q", "cat"})
	client, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{RootCAs: trust, ServerName: me})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	uid, gid := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid())
	if root {
		uid, gid = account(t, "passwd", "qmaild"), account(t, "group", "nofiles")
	}
	processes := s.popSession(t, "cat", "qmail-tlsnet")
	half, program := processes["qmail-tlsnet"], processes["cat"]
	ids := func(id string) string { return strings.TrimSpace(strings.Repeat(id+"\t", 4)) }
	if half.status["Uid"] != ids(uid) || half.status["Gid"] != ids(gid) || root && half.status["Groups"] != gid || half.status["Seccomp"] != "2" || half.status["NoNewPrivs"] != "1" || root && half.status["CapEff"] != "0000000000000000" {
		t.Errorf("qmail-tlsnet has %v", half.status)
	}
	if program.status["Uid"] != ids(strconv.Itoa(os.Getuid())) || program.status["Seccomp"] != "0" {
		t.Errorf("the program has %v", program.status)
	}
	// A process that cannot be dumped is root's for who looks into /proc.
	if st, err := os.Stat(fmt.Sprintf("/proc/%d/mem", half.pid)); err != nil || st.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("the memory of qmail-tlsnet is to be read by its user: %v", err)
	}
	client.Close()
	s.popSession(t)
}

// A web server of one line behind qmail-tls, as curl sees it.
func TestTLSFrontCurl(t *testing.T) {
	curl, ok := tool(t, "curl")
	if !ok {
		return
	}
	s := install(t)
	file, _ := s.underTLS()
	s.excuse(foreign, "qmail-tls stands before a shell")
	port := s.tcpserver([]string{"-s", "-Q", "sh", "-c", `while read -r line && test "${line%?}"; do :; done; printf 'HTTP/1.0 200 OK\r\n\r\n'; head -c 100000 /dev/zero`})
	for _, options := range []string{"--tlsv1.3", "--tls-max 1.2"} {
		args := append(strings.Fields(options), "-sS", "-m", "20", "--cacert", file, "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{ssl_verify_result}",
			"--connect-to", fmt.Sprintf("%s:443:127.0.0.1:%d", me, port), "https://"+me+"/")
		if out := must(t, curl, args...); out != "200 100000 0" {
			t.Errorf("%s: %s", options, out)
		}
	}
}

// A renewed certificate is shown within seconds, and a broken one not at all; after qmail-keysd was killed all is as before, and while nobody has keys the plain
// service goes on.
func TestKeysChange(t *testing.T) {
	if _, ok := tool(t, "openssl"); !ok {
		return
	}
	s := install(t)
	keys := s.keyring()
	port := s.plain()
	serial := func() string {
		out := sclient(t, port, "-servername", "ec.example")
		_, rest, _ := strings.Cut(out, "-----BEGIN CERTIFICATE-----")
		block, _ := pem.Decode([]byte("-----BEGIN CERTIFICATE-----" + rest))
		if block == nil {
			return ""
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return cert.SerialNumber.String()
	}
	first := serial()
	if first == "" {
		t.Fatal("there is no certificate at first")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.live("ec.example", 2, key)
	s.secret("control/servercert.pem", "garbage")
	eventually(t, "the new certificate", func() bool { return serial() != first })
	if said := s.complaints(); !strings.Contains(said, "qmail-keysd: warning: servercert.pem: there is no certificate in PEM; what was there before stays in use\n") {
		t.Errorf("it says\n%s", said)
	}
	if out := sclient(t, port, "-servername", "rsa.example"); !strings.Contains(out, "hello") {
		t.Errorf("the old certificate is gone with the new file: %s", out)
	}
	second := serial()
	if err := syscall.Kill(childOf(t, keys.Process.Pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "qmail-keysd to be back", func() bool { return serial() == second })
	keys.stop()
	if out := sclient(t, port); strings.Contains(out, "hello") {
		t.Errorf("without qmail-keys: %s", out)
	}
	if said := s.complaints(); !strings.Contains(said, "qmail-tlsnet: fatal: no TLS with 127.0.0.1: unable to reach qmail-keys: file does not exist\n") {
		t.Errorf("it says\n%s", said)
	}
	smtp := s.smtpd()
	if out, status := s.sh("QUIT\n", fmt.Sprintf("exec %s/bin/mconnect 127.0.0.1 %d", home, smtp)); !strings.Contains(out, "220 ") {
		t.Errorf("in plain: %d, %s", status, out)
	}
}

// childOf returns the one child of a process.
func childOf(t testing.TB, pid int) int {
	t.Helper()
	var all []string
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		all = append(all, strings.Fields(string(text))...)
	}
	slices.Sort(all)
	if len(all) != 1 {
		t.Fatalf("process %d has the children %q", pid, all)
	}
	child, err := strconv.Atoi(all[0])
	if err != nil {
		t.Fatal(err)
	}
	return child
}

// Neither who talks to the network nor who shares qmail-keysd's user reads a key: not the
// file, and not the memory. What he can is call.
func TestKeysClosed(t *testing.T) {
	if !asRoot(t, "the keys are the user's own") {
		return
	}
	s := install(t)
	keys := s.keyring()
	pid := childOf(t, keys.Process.Pid)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	uid := account(t, "passwd", "qmailp")
	for _, line := range []string{"Uid:\t" + strings.Repeat(uid+"\t", 3) + uid, "NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"} {
		if !strings.Contains(string(status), "\n"+line+"\n") {
			t.Errorf("qmail-keysd has no %q in\n%s", line, status)
		}
	}
	as := func(user, script string) string {
		out, _ := run("setpriv", "--reuid", user, "--regid", "nofiles", "--clear-groups", "sh", "-c", script)
		return out
	}
	for _, user := range []string{"qmaild", "qmailp"} {
		for _, file := range []string{s.path("control/servercert.pem"), s.path("control/ed.example.key"), s.path("control/le/live/ec.example/privkey.pem"),
			fmt.Sprintf("/proc/%d/mem", pid), fmt.Sprintf("/proc/%d/environ", pid), fmt.Sprintf("/proc/%d/maps", pid), fmt.Sprintf("/proc/%d/fd/3", pid)} {
			if out := as(user, "head -c 1 "+file); !strings.Contains(out, "Permission denied") {
				t.Errorf("%s reads %s: %q", user, file, out)
			}
		}
		if out := as(user, fmt.Sprintf("strace -p %d -o /dev/null", pid)); !strings.Contains(out, "Operation not permitted") {
			t.Errorf("%s traces qmail-keysd: %q", user, out)
		}
		if out := as(user, "test -S "+s.path("auth/keys")+" && echo there; rm -f "+s.path("auth/keys")+"; touch "+s.path("auth/x")); !strings.HasPrefix(out, "there\n") ||
			strings.Count(out, "Permission denied") != 2 {
			t.Errorf("%s at the socket: %q", user, out)
		}
	}
	if out, _ := s.sh("", "test -S "+s.path("auth/keys")+" && echo there"); out != "" {
		t.Errorf("an ordinary user finds the socket: %q", out)
	}
}
