package keys

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/keysd"
	"quail/internal/keywire"
	"quail/internal/localsocket"
	"quail/internal/prog"
)

// TestMain lets the test binary be both halves, in a home that is named.
func TestMain(m *testing.M) {
	if home := os.Getenv("QUAIL_TEST_HOME"); home != "" {
		conf.Home = home
		if me, err := user.Current(); err == nil {
			group, _ := user.LookupGroupId(me.Gid)
			conf.UserPasswd, conf.GroupNofiles = me.Username, group.Name
		}
		if filepath.Base(os.Args[0]) == "qmail-keysd" {
			prog.Main("qmail-keysd", keysd.Run, prog.Descriptors(4))
		}
		prog.Main("qmail-keys", Run)
	}
	os.Exit(m.Run())
}

// selfSigned returns a certificate and its key in PEM.
func selfSigned(t *testing.T, host string) string {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, of, of, public, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert})
	pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return out.String()
}

// certificates asks who listens for the certificates, and returns their names.
func certificates(t *testing.T, path string) string {
	t.Helper()
	c, err := localsocket.Dial(path, true)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	c.Write(keywire.Request{Kind: keywire.List}.Append(nil))
	a, err := keywire.ReadAnswer(c)
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, chain := range a.Chains {
		cert, err := x509.ParseCertificate(chain[0])
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, cert.DNSNames...)
	}
	return strings.Join(names, " ")
}

// The two halves together: certificates are there, also after either half was killed or
// a file was broken; at the end nothing is.
func TestProgram(t *testing.T) {
	home, err := os.MkdirTemp("", "keys")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	for _, dir := range []string{"auth", "bin", "control"} {
		if err := os.Mkdir(filepath.Join(home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(self, home+"/bin/qmail-keysd"); err != nil {
		if text, err := os.ReadFile(self); err != nil || os.WriteFile(home+"/bin/qmail-keysd", text, 0o755) != nil {
			t.Fatal(err)
		}
	}
	write := func(text string) {
		if err := os.WriteFile(home+"/control/servercert.pem", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(selfSigned(t, "first.test"))
	begin := func() (*exec.Cmd, *bufio.Scanner) {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "QUAIL_TEST_HOME="+home)
		log, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, bufio.NewScanner(log)
	}
	cmd, log := begin()
	defer cmd.Process.Kill()
	watchdog := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer watchdog.Stop()
	expect := func(want string) {
		t.Helper()
		for log.Scan() {
			if strings.Contains(log.Text(), want) {
				return
			}
		}
		t.Fatalf("the log has no %q", want)
	}
	path := home + "/" + keywire.Path
	expect("for first.test")
	if got := certificates(t, path); got != "first.test" {
		t.Errorf("at first: %q", got)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode() != os.ModeSocket|0o660 {
		t.Errorf("the socket is %v, %v", fi.Mode(), err)
	}
	second, says := begin()
	if says.Scan(); !strings.Contains(says.Text(), "another qmail-keys may run") {
		t.Errorf("a second one says %q", says.Text())
	}
	if second.Wait(); second.ProcessState.ExitCode() != 111 {
		t.Errorf("a second one: %v", second.ProcessState)
	}
	write("garbage")
	cmd.Process.Signal(syscall.SIGHUP)
	expect("servercert.pem: there is no certificate in PEM; what was there before stays in use")
	if got := certificates(t, path); got != "first.test" {
		t.Errorf("with garbage: %q", got)
	}
	write(selfSigned(t, "second.test"))
	expect("for second.test") // by itself
	if got := certificates(t, path); got != "second.test" {
		t.Errorf("after a change: %q", got)
	}
	killChild(t, cmd.Process.Pid)
	expect("qmail-keysd ended with 9, starting again")
	expect("for second.test")
	if got := certificates(t, path); got != "second.test" {
		t.Errorf("after a kill: %q", got)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	for log.Scan() {
		t.Errorf("at the end it says %q", log.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("at the end: %v", err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
	// Killed, it leaves a socket, which the next one takes the place of.
	cmd, log = begin()
	expect("for second.test")
	child := children(t, cmd.Process.Pid)
	cmd.Process.Kill()
	for log.Scan() { // until qmail-keysd has gone too
	}
	cmd.Wait()
	if len(child) != 1 {
		t.Errorf("children: %v", child)
	}
	cmd, log = begin()
	expect("for second.test")
	if got := certificates(t, path); got != "second.test" {
		t.Errorf("once more: %q", got)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	for log.Scan() {
	}
	cmd.Wait()
}

func children(t *testing.T, pid int) []string {
	t.Helper()
	var all []string
	lists, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		all = append(all, strings.Fields(string(text))...)
	}
	return all
}

// killChild kills the one child of a process.
func killChild(t *testing.T, pid int) {
	t.Helper()
	all := children(t, pid)
	if len(all) != 1 {
		t.Fatalf("children: %q", all)
	}
	child, err := strconv.Atoi(all[0])
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(child, syscall.SIGKILL)
}
