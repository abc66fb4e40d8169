package tlsfront

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
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

	"quail/internal/conf"
	"quail/internal/keysd"
	"quail/internal/keywire"
	"quail/internal/localsocket"
	"quail/internal/prog"
	"quail/internal/sandbox"
	"quail/internal/tlsnet"
)

const long = 10 * time.Second

// TestMain lets the test binary be qmail-tls, qmail-tlsnet and qmail-keysd, in the home
// that its file is in.
func TestMain(m *testing.M) {
	conf.Home = filepath.Dir(filepath.Dir(os.Args[0]))
	switch filepath.Base(os.Args[0]) {
	case "qmail-tls":
		prog.Main("qmail-tls", func(p *prog.Process) error {
			p.UID = max(p.UID, 1) // there need be no accounts: who runs what is for the suite
			return Run(p)
		})
	case "qmail-tlsnet":
		prog.Main("qmail-tlsnet", tlsnet.Run, prog.Descriptors(5), sandbox.Around(sandbox.Wall{Network: sandbox.Syslog}))
	case "qmail-keysd":
		prog.Main("qmail-keysd", keysd.Run, prog.Descriptors(4))
	}
	os.Exit(m.Run())
}

// newHome returns a home with both programs, and with qmail-keysd running if there is to
// be a certificate.
func newHome(t *testing.T, certificate bool) string {
	t.Helper()
	home, err := os.MkdirTemp("", "tls")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"bin", "auth"} {
		if err := os.Mkdir(filepath.Join(home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"qmail-tls", "qmail-tlsnet", "qmail-keysd"} {
		if err := os.WriteFile(filepath.Join(home, "bin", name), self, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if !certificate {
		return home
	}
	l, err := localsocket.Listen(filepath.Join(home, keywire.Path), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	take, hand, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer take.Close()
	cmd := exec.Command(home + "/bin/qmail-keysd")
	cmd.Stdin, cmd.ExtraFiles = l, []*os.File{take}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hand.Close(); cmd.Wait() })
	if _, err := hand.Write(keywire.AppendEntries(nil, []keywire.Entry{pair1(t)})); err != nil {
		t.Fatal(err)
	}
	return home
}

// pair1 returns a certificate and its key.
func pair1(t *testing.T) (e keywire.Entry) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.test"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, of, of, public, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	e.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	e.Key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return e
}

// front is a qmail-tls with a client.
type front struct {
	t      *testing.T
	cmd    *exec.Cmd
	says   bytes.Buffer
	client net.Conn
}

func newFront(t *testing.T, home string, args ...string) *front {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := &front{t: t}
	if f.client, err = net.Dial("tcp4", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.client.Close() })
	f.client.SetDeadline(time.Now().Add(long))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	f.cmd = exec.Command(home+"/bin/qmail-tls", args...)
	f.cmd.Env = append(os.Environ(), "TCPREMOTEIP=192.0.2.1", "SSL_CIPHER=old", "SSL_TLS_SNI_SERVERNAME=old")
	f.cmd.Stdin, f.cmd.Stdout, f.cmd.Stderr = server, server, &f.says
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	server.Close()
	return f
}

// status waits for the program's end and returns its status, and what was said, when
// all processes have let go of descriptor 2.
func (f *front) status() (int, string) {
	f.cmd.Wait()
	return f.cmd.ProcessState.ExitCode(), f.says.String()
}

func TestPrograms(t *testing.T) {
	home := newHome(t, true)
	for _, c := range []struct{ name, script, in, out string }{
		{"both ways", "cat", "hello", "hello"},
		{"the end of input comes first", "cat >/dev/null; echo after", "x", "after\n"},
		{"status", "exit 7", "", "7"},
		{"what the program knows", `echo $SSL_PROTOCOL $SSL_CIPHER $SSL_TLS_SNI_SERVERNAME $TCPREMOTEIP`, "",
			"TLSv1.3 TLS_AES_128_GCM_SHA256 a.test 192.0.2.1\n"},
		{"much to say", "head -c 3000000 /dev/zero | tr '\\0' x", "", strings.Repeat("x", 3000000)},
		{"much to hear", "cat | wc -c", strings.Repeat("x", 3000000), "3000000\n"},
		{"a program that stops reading", "sleep 0.1; echo bye", strings.Repeat("x", 200000), "bye\n"},
		{"no descriptors left over", "for n in 3 4 5 6 7 8 9; do (exec <&$n) 2>/dev/null && echo $n; done; exec cat", "x", "x"},
		{"a program that others outlive", "(sleep 0.1; echo late) & exit 3", "", "late\n3"},
	} {
		f := newFront(t, home, "sh", "-c", c.script)
		client := tls.Client(f.client, &tls.Config{InsecureSkipVerify: true, ServerName: "a.test"})
		go func() {
			io.WriteString(client, c.in)
			client.CloseWrite()
		}()
		out, err := io.ReadAll(client)
		if err != nil {
			t.Errorf("%s: after %d bytes %v", c.name, len(out), err)
		}
		status, said := f.status()
		got := string(out)
		if status != 0 {
			got += fmt.Sprint(status)
		}
		if got != c.out || said != "" {
			t.Errorf("%s: %.100q, says %q", c.name, got, said)
		}
	}
}

// Without a handshake no program is run, and a client that names no server leaves no
// variable of another session.
func TestNoHandshake(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	home, without := newHome(t, true), newHome(t, false)
	for _, c := range []struct{ name, home, bytes, says string }{
		{"a client that knows no TLS", home, "EHLO a.test\r\n", "qmail-tlsnet: fatal: no TLS with 192.0.2.1: tls: first record does not look like a TLS handshake\n"},
		{"a client that goes", home, "", "qmail-tlsnet: fatal: no TLS with 192.0.2.1: EOF\n"},
		{"no qmail-keys", without, "", "qmail-tlsnet: fatal: no TLS with 192.0.2.1: unable to reach qmail-keys: file does not exist\n"},
	} {
		f := newFront(t, c.home, "touch", ran)
		io.WriteString(f.client, c.bytes)
		f.client.(*net.TCPConn).CloseWrite()
		if status, said := f.status(); status != 111 || said != c.says {
			t.Errorf("%s: %d, %q", c.name, status, said)
		}
		if _, err := os.Stat(ran); err == nil {
			t.Fatalf("%s: the program was run", c.name)
		}
	}
	f := newFront(t, home, "sh", "-c", "echo ${SSL_TLS_SNI_SERVERNAME-none}")
	out, err := io.ReadAll(tls.Client(f.client, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}))
	if status, said := f.status(); string(out) != "none\n" || err != nil || status != 0 {
		t.Errorf("no name: %q, %v, %d, %q", out, err, status, said)
	}
	f = newFront(t, home, "/no/such/program")
	io.ReadAll(tls.Client(f.client, &tls.Config{InsecureSkipVerify: true}))
	if status, said := f.status(); status != 111 || said != "qmail-tls: fatal: unable to run /no/such/program: file does not exist\n" {
		t.Errorf("no program: %d, %q", status, said)
	}
	f = newFront(t, home)
	if status, said := f.status(); status != 100 || said != "qmail-tls: usage: qmail-tls program [ arg ... ]\n" {
		t.Errorf("no arguments: %d, %q", status, said)
	}
}

// A client that breaks off is the end of the program's input and of its output.
func TestClientGoes(t *testing.T) {
	home := newHome(t, true)
	f := newFront(t, home, "sh", "-c", "echo hello; cat; trap '' PIPE; while echo more; do :; done 2>/dev/null; exit 5")
	client := tls.Client(f.client, &tls.Config{InsecureSkipVerify: true})
	if _, err := io.ReadFull(client, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	f.client.(*net.TCPConn).SetLinger(0)
	f.client.Close()
	watchdog := time.AfterFunc(long, func() { f.cmd.Process.Kill() })
	defer watchdog.Stop()
	if status, said := f.status(); status != 5 {
		t.Errorf("%d, %q", status, said)
	}
}

// What qmail-tlsnet tells is believed only if it could be so.
func TestUnbelievable(t *testing.T) {
	home, ran := newHome(t, false), filepath.Join(t.TempDir(), "ran")
	for _, c := range []struct{ tells, says string }{
		{"exit 0", ""},
		{`printf 'TLSv1.3\0x\0' >&4`, "qmail-tls: fatal: unable to believe qmail-tlsnet: what is told of a session is not in form\n"},
		{`printf 'TLSv1.3\0x\0a\nb\0' >&4`, "qmail-tls: fatal: unable to believe qmail-tlsnet: what is told of a session is not in form\n"},
		{`while echo more; do :; done >&4 2>/dev/null`, "qmail-tls: fatal: unable to believe qmail-tlsnet: what is told of a session is not in form\n"},
	} {
		if err := os.Remove(home + "/bin/qmail-tlsnet"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(home+"/bin/qmail-tlsnet", []byte("#!/bin/sh\n"+c.tells+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if status, said := newFront(t, home, "touch", ran).status(); status != 111 || said != c.says {
			t.Errorf("%s: %d, %q", c.tells, status, said)
		}
		if _, err := os.Stat(ran); err == nil {
			t.Fatalf("%s: the program was run", c.tells)
		}
	}
	if err := os.Remove(home + "/bin/qmail-tlsnet"); err != nil {
		t.Fatal(err)
	}
	if status, said := newFront(t, home, "touch", ran).status(); status != 111 || said != "qmail-tls: fatal: unable to run qmail-tlsnet: file does not exist\n" {
		t.Errorf("no qmail-tlsnet: %d, %q", status, said)
	}
}
