package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quail/internal/authclient"
	"quail/internal/authwire"
	"quail/internal/localsocket"
	"quail/internal/mailauth"
	"quail/internal/prog"
	"quail/internal/sasl"
)

// auth runs qmail-auth and waits until it can be called.
func (s *suite) auth(args ...string) *process {
	s.t.Helper()
	os.Remove(s.path(authwire.Path))
	p := s.spawn(s.errors, nil, "bin/qmail-auth", args...)
	eventually(s.t, "qmail-auth to listen", func() bool {
		c, err := localsocket.Dial(s.path(authwire.Path), false)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return p
}

// asker returns a client of qmail-auth as qmail-smtpd is one.
func (s *suite) asker() *authclient.Client {
	c := authclient.Dial(s.asking(), s.path(authwire.Path))
	s.t.Cleanup(c.Close)
	return c
}

func (s *suite) asking() *prog.Process {
	return &prog.Process{Env: prog.Env{"PATH=" + s.path("bin") + ":/usr/bin:/bin"}, Dir: "/", Stderr: s.errors, Now: time.Now}
}

// logins are the passwords that a client tries from an address of its own, and what
// comes of it.
func (s *suite) logsIn(c *authclient.Client, from int, mechanism, user, password string) string {
	s.t.Helper()
	r := authclient.Request{Service: "submission", IP: fmt.Sprintf("198.51.100.%d", from), TLS: true}
	_, client, err := sasl.NewClient([]string{mechanism}, user, password, sasl.ClientOptions{Host: me, TLS: true, Random: [32]byte{1}})
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := client.Next(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	a, err := c.Begin(r, mechanism, response)
	for err == nil && a.Kind == authclient.Challenge {
		if response, err = client.Next(a.Data); err == nil {
			a, err = c.Continue(response)
		}
	}
	if err == nil && a.Kind == authclient.Yes && a.Data != nil {
		_, err = client.Next(a.Data)
	}
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%c %s", a.Kind, a.Login)
}

// offered returns what may be offered under TLS.
func (s *suite) offered(c *authclient.Client) string {
	names, err := c.Mechanisms(authclient.Request{TLS: true})
	if err != nil {
		return err.Error()
	}
	return strings.Join(names, " ")
}

// mailUser writes users/mailauth with one login that has a secret.
func (s *suite) mailUser() {
	s.t.Helper()
	e, err := mailauth.New("joe@x", "right", [2][16]byte{{1}, {2}})
	if err != nil {
		s.t.Fatal(err)
	}
	e.Secret = "right"
	s.write(mailauth.Path, e.String()+"\n")
	if err := os.Chmod(s.path(mailauth.Path), 0o400); err != nil {
		s.t.Fatal(err)
	}
	if root {
		uid, _ := strconv.Atoi(account(s.t, "passwd", "qmailp"))
		if err := os.Chown(s.path(mailauth.Path), uid, -1); err != nil {
			s.t.Fatal(err)
		}
	}
}

// kernelSays returns a line of what the kernel says of a process.
func kernelSays(pid int, field string) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.Join(strings.Fields(rest), " ")
		}
	}
	return ""
}

// walledAsPasswd holds a process against what qmail-authd may be.
func (s *suite) walledAsPasswd(pid int) {
	s.t.Helper()
	uid := strconv.Itoa(os.Getuid())
	if root {
		uid = account(s.t, "passwd", "qmailp")
	}
	four := strings.TrimSpace(strings.Repeat(uid+" ", 4))
	eventually(s.t, "qmail-authd to have a wall", func() bool { return kernelSays(pid, "Seccomp") == "2" })
	if ids := kernelSays(pid, "Uid"); ids != four {
		s.t.Errorf("qmail-authd runs as %s, not %s", ids, four)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(fmt.Sprintf("/proc/%d/mem", pid), &st); err != nil || st.Uid != 0 {
		s.t.Errorf("its memory is user %d's, %v", st.Uid, err)
	}
}

func TestAuthByMailauth(t *testing.T) {
	s := install(t)
	s.mailUser()
	p := s.auth()
	s.walledAsPasswd(p.Process.Pid)
	fi, err := os.Lstat(s.path(authwire.Path))
	if err != nil || fi.Mode() != os.ModeSocket|0o660 {
		t.Fatalf("the socket: %v, %v", fi, err)
	}
	if st := fi.Sys().(*syscall.Stat_t); root && (st.Uid != 0 || strconv.Itoa(int(st.Gid)) != account(t, "group", "nofiles")) {
		t.Errorf("the socket is %d:%d's", st.Uid, st.Gid)
	}
	c := s.asker()
	if got, want := s.offered(c), "SCRAM-SHA-256 SCRAM-SHA-1 DIGEST-MD5 CRAM-MD5 PLAIN LOGIN"; got != want {
		t.Errorf("offered %q", got)
	}
	for _, mechanism := range strings.Fields(s.offered(c)) {
		if got := s.logsIn(c, 1, mechanism, "joe@x", "right"); got != "y joe@x" {
			t.Errorf("%s: %s", mechanism, got)
		}
	}
	if got := s.logsIn(c, 1, "PLAIN", "joe@x", "wrong"); got != "n " {
		t.Errorf("a wrong password: %s", got)
	}
	// A file that is written anew counts at once, though there is a wall.
	if err := os.Rename(s.path(mailauth.Path), s.path(mailauth.Path+".old")); err != nil {
		t.Fatal(err)
	}
	if got := s.offered(c); got != "" {
		t.Errorf("without a file %q is offered", got)
	}
	p.stop()
	if got := s.offered(c); !strings.Contains(got, "call qmail-auth") {
		t.Errorf("without qmail-auth %q is offered", got)
	}
}

// A checkpassword program is run by the half that may be root, with what it has to have;
// the other half is not.
func TestAuthByProgram(t *testing.T) {
	s := install(t)
	dir := t.TempDir()
	script := filepath.Join(dir, "check")
	text := "#!/bin/sh\nid -u >" + dir + "/uid\ncase \"$1 $(tr '\\0' ' ' <&3)\" in\n" +
		"'arg joe right '*) exit 0;;\n*' hang '*) exec sleep 100;;\n*' die '*) kill -9 $$;;\n*' print '*) yes | head -100000; exit 0;;\nesac\nexit 1\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	p := s.auth(script, "arg")
	served := s.serving(p)
	s.walledAsPasswd(served)
	c := s.asker()
	// Somebody's program hangs, which is nothing to anybody else.
	other := make(chan string, 1)
	go func() { other <- s.logsIn(authclient.Dial(s.asking(), s.path(authwire.Path)), 9, "PLAIN", "hang", "x") }()
	for i, try := range []struct{ user, password, want string }{
		{"joe", "right", "y joe"}, {"die", "x", "l "}, {"print", "x", "y print"}, {"joe", "wrong", "n "},
	} {
		for _, mechanism := range []string{"PLAIN", "LOGIN"}[:1+i%2] {
			if got := s.logsIn(c, i, mechanism, try.user, try.password); got != try.want {
				t.Errorf("%s with %s by %s: %s", try.user, try.password, mechanism, got)
			}
		}
	}
	if uid, err := os.ReadFile(filepath.Join(dir, "uid")); string(uid) != fmt.Sprintln(os.Getuid()) || err != nil {
		t.Errorf("the program runs as %s, %v", uid, err)
	}
	// When one half dies, so does the other; who waits is told to come again.
	syscall.Kill(served, syscall.SIGKILL)
	if got := <-other; !strings.Contains(got, "ask qmail-auth") {
		t.Errorf("who had to wait is told %s", got)
	}
	must(t, "pkill", "-9", "-P", strconv.Itoa(p.Process.Pid))
	<-p.done
	if code := p.ProcessState.ExitCode(); code != 111 {
		t.Errorf("qmail-auth exits with %d", code)
	}
	p = s.auth(script, "arg")
	served = s.serving(p)
	p.Process.Kill()
	<-p.done
	eventually(t, "qmail-authd to end", func() bool { return syscall.Kill(served, 0) != nil })
}

// A session that has a program of its own has it run as the user that it is.
func TestAuthOfOnesOwn(t *testing.T) {
	s := install(t)
	script := filepath.Join(t.TempDir(), "check")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntest \"$(tr '\\0' ' ' <&3 | cut -d ' ' -f 1-2)\" = 'joe right'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := authclient.Command(s.asking(), []string{script, "true"})
	if got := s.offered(c); got != "CRAM-MD5 PLAIN LOGIN" {
		t.Errorf("offered %q", got)
	}
	for _, password := range []string{"right", "wrong", "right"} {
		want := map[string]string{"right": "y joe", "wrong": "n "}[password]
		if got := s.logsIn(c, 1, "PLAIN", "joe", password); got != want {
			t.Errorf("%s: %s", password, got)
		}
	}
	running := func() bool { return exec.Command("pgrep", "-f", "^"+s.path("bin/qmail-authd")+" -0").Run() == nil }
	if !running() {
		t.Error("there is no qmail-authd")
	}
	c.Close()
	eventually(t, "qmail-authd to end with the session", func() bool { return !running() })
}

const dovecotAuth = `base_dir = DIR/run
state_dir = DIR/state
log_path = DIR/log
libexec_dir = LIBEXEC
import_environment = LD_LIBRARY_PATH
protocols =
ssl = no
default_internal_user = root
default_internal_group = root
default_login_user = nobody
auth_failure_delay = 0
auth_mechanisms = plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 anonymous
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u DIR/users
}
service auth {
  user = root
  unix_listener auth-client {
    mode = 0600
    user = qmailp
  }
}
`

// dovecotAuth runs Dovecot with its authentication service alone, and returns the name of
// its socket.
func (s *suite) dovecotAuth(doveconf string) (socket string, stop func()) {
	s.t.Helper()
	dir, err := os.MkdirTemp(*work, "dovecot") // sockets have short names
	if err != nil {
		s.t.Fatal(err)
	}
	there := filepath.Join(filepath.Dir(doveconf), "../root/usr")
	conf := strings.NewReplacer("DIR", dir, "LIBEXEC", there+"/lib/dovecot").Replace(dovecotAuth)
	for name, text := range map[string]string{"conf": conf, "users": "joe@x:right\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	// It would run /usr/bin/doveconf itself, which need not be there.
	cmd := exec.Command(doveconf, "-f", "service=master", "-c", dir+"/conf", "-m", "master", "-x", "-e", there+"/sbin/dovecot", "-F", "-c", dir+"/conf")
	cmd.Stdout, cmd.Stderr = s.errors, s.errors
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
		}
	}
	s.t.Cleanup(func() {
		stop()
		if log, _ := os.ReadFile(dir + "/log"); s.t.Failed() {
			s.t.Logf("Dovecot says\n%s", log)
		}
		os.RemoveAll(dir)
	})
	socket = dir + "/run/auth-client"
	eventually(s.t, "Dovecot to listen", func() bool {
		c, err := localsocket.Dial(socket, false)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return socket, stop
}

func TestAuthByDovecot(t *testing.T) {
	if !asRoot(t, "runs a server that is root") {
		return
	}
	doveconf, ok := tool(t, "doveconf")
	if !ok {
		return
	}
	s := install(t)
	socket, stop := s.dovecotAuth(doveconf)
	p := s.auth("-d", socket)
	s.walledAsPasswd(p.Process.Pid)
	c := s.asker()
	if got, want := s.offered(c), "SCRAM-SHA-256 SCRAM-SHA-1 DIGEST-MD5 CRAM-MD5 PLAIN LOGIN"; got != want {
		t.Errorf("offered %q", got)
	}
	for _, mechanism := range strings.Fields(s.offered(c)) {
		if got := s.logsIn(c, 1, mechanism, "joe@x", "right"); got != "y joe@x" {
			t.Errorf("%s: %s", mechanism, got)
		}
	}
	var under sync.WaitGroup
	for i, response := range []string{"not PLAIN", "\x00\x00no user", "\x00joe@x\tnologin\x00right", "sue@x\x00joe@x\x00right", "\x00joe@x\x00wrong"} {
		ask, from := s.asker(), fmt.Sprintf("198.51.100.%d", 100+i)
		under.Go(func() {
			if a, err := ask.Begin(authclient.Request{IP: from, TLS: true}, "PLAIN", []byte(response)); a.Kind != authclient.No || err != nil {
				t.Errorf("%q: %+v, %v", response, a, err)
			}
		})
	}
	under.Wait()
	// Cut in the middle, as often as you like.
	for range 30 {
		cut := authclient.Dial(s.asking(), s.path(authwire.Path))
		if a, err := cut.Begin(authclient.Request{IP: "198.51.100.8", TLS: true}, "SCRAM-SHA-1", []byte("n,,n=joe@x,r=abc")); a.Kind != authclient.Challenge || err != nil {
			t.Fatalf("%+v, %v", a, err)
		}
		cut.Close()
	}
	if got := s.logsIn(c, 8, "SCRAM-SHA-1", "joe@x", "right"); got != "y joe@x" {
		t.Errorf("after that: %s", got)
	}
	stop()
	if got := s.logsIn(c, 2, "PLAIN", "joe@x", "right"); got != "l " {
		t.Errorf("without Dovecot: %s", got)
	}
}
