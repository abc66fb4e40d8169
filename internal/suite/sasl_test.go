package suite

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quail/internal/mailauth"
	"quail/internal/sasl"
	"quail/internal/tlsbinding"
)

// GNU SASL is both sides of what internal/sasl is: its client logs in at our server
// by each mechanism, on TLS and off, and our client at its server.

// saslLogins makes a file with one login and returns it.
func saslLogins(t *testing.T, login, password string) *mailauth.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mailauth")
	e, err := mailauth.New(login, password, [2][16]byte{{1}, {2}})
	if err != nil {
		t.Fatal(err)
	}
	e.Secret = password
	err = mailauth.Edit(path, login, os.Geteuid(), os.Getegid(), [32]byte{3}, func(*mailauth.Entry) (*mailauth.Entry, error) { return &e, nil })
	if err != nil {
		t.Fatal(err)
	}
	f, err := mailauth.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// selfSigned makes a certificate and its key.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// saslSession speaks as much SMTP as a client needs to log in, and returns who did.
func saslSession(conn net.Conn, users sasl.Users, certificate tls.Certificate) (login string, err error) {
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(conn)
	var bindings []sasl.Binding
	fmt.Fprintf(conn, "220 mail.example ESMTP\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return login, err
		}
		words := strings.Fields(line)
		switch verb := strings.ToUpper(words[0]); {
		case verb == "EHLO":
			fmt.Fprintf(conn, "250-mail.example\r\n250-STARTTLS\r\n250 AUTH %s\r\n", strings.Join(sasl.Mechanisms(), " "))
		case verb == "STARTTLS":
			fmt.Fprintf(conn, "220 ready\r\n")
			secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
			if err := secure.Handshake(); err != nil {
				return "", err
			}
			state := secure.ConnectionState()
			bindings = tlsbinding.Of(&state, certificate.Leaf)
			conn, in = secure, bufio.NewReader(secure)
		case verb == "AUTH" && len(words) > 1:
			o := sasl.Options{Realm: "mail.example", Now: 1700000000, PID: 1, Bindings: bindings, TLS: true}
			rand.Read(o.Random[:])
			s, err := sasl.NewServer(words[1], users, o)
			if err != nil {
				return "", err
			}
			if err := saslExchange(conn, in, s, words[2:]); err != nil {
				fmt.Fprintf(conn, "535 no\r\n")
				return "", err
			}
			login = s.Login()
			fmt.Fprintf(conn, "235 ok\r\n")
		case verb == "QUIT":
			fmt.Fprintf(conn, "221 bye\r\n")
			return login, nil
		default:
			fmt.Fprintf(conn, "502 no\r\n")
		}
	}
}

// saslExchange is the messages of AUTH, first the initial response if there is one.
func saslExchange(w io.Writer, r *bufio.Reader, s sasl.Server, initial []string) error {
	var response []byte
	if len(initial) > 0 {
		response = []byte{}
		if initial[0] != "=" {
			response, _ = base64.StdEncoding.DecodeString(initial[0])
		}
	}
	for {
		challenge, done, err := s.Next(response)
		if err != nil || done && challenge == nil {
			return err
		}
		fmt.Fprintf(w, "334 %s\r\n", base64.StdEncoding.EncodeToString(challenge))
		line, err := r.ReadString('\n')
		if err != nil || done {
			return err
		}
		if response, err = base64.StdEncoding.DecodeString(strings.TrimSpace(line)); err != nil {
			return err
		}
	}
}

func TestGNUSASLClient(t *testing.T) {
	gsasl, ok := tool(t, "gsasl")
	if !ok {
		return
	}
	certificate := selfSigned(t)
	const off, tls13, tls12 = "--no-starttls", "--starttls --priority NORMAL:-VERS-ALL:+VERS-TLS1.3", "--starttls --priority NORMAL:-VERS-ALL:+VERS-TLS1.2"
	for _, mechanism := range sasl.Mechanisms() {
		// Where it could bind and is not asked to, gsasl says so, and that is refused:
		// somebody might have taken -PLUS off the list.
		good, bad := []string{off}, ""
		switch {
		case strings.HasSuffix(mechanism, "-PLUS"):
			good = []string{tls13, tls12}
		case strings.HasPrefix(mechanism, "SCRAM"):
			good, bad = []string{off, "--starttls --no-cb"}, tls13
		}
		for _, who := range []struct{ login, password string }{{"joe", "sesame"}, {"jö=e", "söder wörd"}} {
			users := saslLogins(t, who.login, who.password)
			attempt := func(password, options string, right bool) {
				t.Helper()
				got, says := gsaslLogin(t, gsasl, users, certificate, mechanism, who.login, password, options)
				if (got == who.login) != right {
					t.Errorf("%s as %q with %q, %s: the login is %q; gsasl says %s", mechanism, who.login, password, options, got, says)
				}
			}
			attempt(who.password, good[0], true)
			if who.login != "joe" {
				continue // it is about the letters
			}
			attempt(who.password+"x", good[0], false)
			for _, options := range good[1:] {
				attempt(who.password, options, true)
			}
			if bad != "" {
				attempt(who.password, bad, false)
			}
		}
	}
}

// gsaslLogin has gsasl log in at a server of ours and returns who it was there.
func gsaslLogin(t *testing.T, gsasl string, users sasl.Users, certificate tls.Certificate, mechanism, user, password, options string) (login, says string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answer := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			answer <- ""
			return
		}
		defer conn.Close()
		login, err := saslSession(conn, users, certificate)
		if err != nil {
			login = fmt.Sprintf("%s (%v)", login, err)
		}
		answer <- login
	}()
	args := append([]string{"--client", "--smtp", "--connect", l.Addr().String(), "-m", mechanism, "-a", user, "-p", password, "-z", "", "-r", "mail.example",
		"--hostname", "mail.example", "--quality-of-protection", "qop-auth", "--x509-ca-file", "", "--verbose"}, strings.Fields(options)...)
	cmd := exec.Command(gsasl, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.Stdin = strings.NewReader("")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watch := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
	cmd.Wait()
	watch.Stop()
	l.Close()
	return <-answer, out.String()
}

// The server of GNU SASL, which speaks base64 on its standard input and output, and our
// client trust each other. By the other mechanisms the command asks a person.
func TestGNUSASLServer(t *testing.T) {
	gsasl, ok := tool(t, "gsasl")
	if !ok {
		return
	}
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "DIGEST-MD5"} {
		for _, password := range []string{"sesame", "simsim"} {
			o := sasl.ClientOptions{Host: "mail.example", TLS: true}
			rand.Read(o.Random[:])
			_, c, err := sasl.NewClient([]string{mechanism}, "joe", password, o)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(gsasl, "--server", "-m", mechanism, "-a", "joe", "-p", "sesame", "--hostname", "mail.example", "--service", "smtp",
				"-r", "mail.example", "--quality-of-protection", "qop-auth", "--iteration-count", "4096")
			err = gsaslServer(t, cmd, c)
			if right := password == "sesame"; (err == nil) != right || right && !c.Done() {
				t.Errorf("%s with %q: %v, done %v", mechanism, password, err, c.Done())
			}
		}
	}
}

// gsaslServer runs an exchange of a client with gsasl and returns nil if both trust each
// other.
func gsaslServer(t *testing.T, cmd *exec.Cmd, c sasl.Client) error {
	t.Helper()
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil || cmd.Start() != nil {
		t.Fatal(err1, err2)
	}
	watch := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
	defer watch.Stop()
	failed := func(err error) error {
		cmd.Process.Kill()
		cmd.Wait()
		return err
	}
	response, err := c.Next(nil)
	if err != nil {
		return failed(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan() // the mechanism
	for first := true; lines.Scan(); first = false {
		challenge, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil {
			break // it says how it ended
		}
		// The first line waits for an initial response, if there is one.
		if !first || response == nil {
			if response, err = c.Next(challenge); err != nil {
				return failed(err)
			}
		}
		fmt.Fprintf(in, "%s\n", base64.StdEncoding.EncodeToString(response))
		if c.Done() {
			break
		}
	}
	in.Close()
	io.Copy(io.Discard, out)
	return cmd.Wait()
}
