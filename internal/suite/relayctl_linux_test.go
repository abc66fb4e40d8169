package suite

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// POP and IMAP before SMTP: who has logged in lately may send mail to anywhere.

// logins is the directory of those who have logged in, and the settings that name it.
type logins struct {
	s        *suite
	dir      string // below one that is root's alone
	settings string // as envdir reads them
}

// logins makes the directory as relay-ctrl's guide has it. A login counts for ten minutes.
func (s *suite) logins() logins {
	s.t.Helper()
	s.mkdir("spool", 0o700, 0, 0)
	s.mkdir("spool/allow", 0o777, 0, 0)
	s.mkdir("relay-ctrl", 0o755, 0, 0)
	l := logins{s, s.path("spool/allow"), s.path("relay-ctrl")}
	s.write("relay-ctrl/RELAY_CTRL_DIR", l.dir+"\n")
	s.write("relay-ctrl/RELAY_CTRL_EXPIRY", "600\n")
	return l
}

// env is what envdir makes of the settings.
func (l logins) env() []string {
	return []string{"RELAY_CTRL_DIR=" + l.dir, "RELAY_CTRL_EXPIRY=600"}
}

// behind has programs in the background run behind relay-ctrl-chdir.
func (l logins) behind() { l.s.inside = append(l.s.inside, l.s.path("bin/relay-ctrl-chdir")) }

// older makes all logins older.
func (l logins) older(by time.Duration) {
	l.s.t.Helper()
	names, _ := filepath.Glob(l.dir + "/*")
	if len(names) == 0 {
		l.s.t.Error("nobody has logged in")
	}
	for _, name := range names {
		at := time.Now().Add(-by)
		if err := os.Chtimes(name, at, at); err != nil {
			l.s.t.Fatal(err)
		}
	}
}

// popChain is a POP server that notes who logs in.
func (l logins) popChain() []string {
	l.s.t.Helper()
	l.s.excuse(foreign, "each POP session is a process of its own")
	l.s.write("checkpassword", fmt.Sprintf(checkpassword, home, asJoe()))
	if err := os.Chmod(l.s.path("checkpassword"), 0o755); err != nil {
		l.s.t.Fatal(err)
	}
	return []string{l.s.path("bin/qmail-popup"), me, l.s.path("checkpassword"), l.s.path("bin/relay-ctrl-allow"), l.s.path("bin/qmail-pop3d"), "Maildir"}
}

// smtpChain is an SMTP server for those who have logged in, and everybody else.
func (l logins) smtpChain() []string {
	return append(l.s.asQmaild(l.s.path("bin/relay-ctrl-check")), l.s.path("bin/qmail-smtpd"))
}

// relays returns what a client of conn is told about a recipient elsewhere: nothing if it
// is taken.
func relays(t *testing.T, conn net.Conn) (refusal string) {
	t.Helper()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	client, err := smtp.NewClient(conn, "here.test")
	if err == nil {
		err = client.Mail("joe@" + me)
	}
	if err == nil {
		err = client.Rcpt("far@away.example")
		var answer *textproto.Error
		if errors.As(err, &answer) {
			refusal, err = fmt.Sprintf("%d %s", answer.Code, answer.Msg), nil
		}
	}
	if err == nil {
		err = client.Quit()
	}
	if err != nil {
		t.Fatal(err)
	}
	return refusal
}

// logIn has joe, or whoever is named, read mail by POP.
func logIn(t *testing.T, conn net.Conn, user string) {
	t.Helper()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	in := bufio.NewReader(conn)
	for _, command := range []string{"", "USER " + user + "\r\n", "PASS secret\r\n", "STAT\r\n", "QUIT\r\n"} {
		if _, err := conn.Write([]byte(command)); err != nil {
			t.Fatal(err)
		}
		if line, err := in.ReadString('\n'); !strings.HasPrefix(line, "+OK") {
			t.Fatalf("to %q the POP server says %q, %v", command, line, err)
		}
	}
}

const noRelay = "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"

// A client on another network may not send to a third host, logs in, and may, until that
// is too long ago; by IPv4 and by IPv6, and nobody else.
func TestPOPBeforeSMTP(t *testing.T) {
	if !asRoot(t, "makes a network of its own") {
		return
	}
	s := install(t)
	n := newNetwork(t, "")
	n.here.addresses("veth0", myself+"/24", "2001:db8::1/64")
	n.there.addresses("veth1", accepts4+"/24", refuses+"/24", accepts6+"/64", "2001:db8::11/64")
	far := n.there.serve(accepts4+":2525", nil)
	s.control("smtproutes", ":"+accepts4+":2525\n")
	s.inside = n.here.enter()
	s.start()
	l := s.logins()
	l.behind()
	for _, host := range []string{myself, "2001:db8::1"} {
		s.spawn(s.log, append(l.env(), "RELAY_CTRL_LOG_IPS=1"), "bin/tcpserver", append(append([]string{"-RHl0"}, l.smtpArgs(host, "25")...), l.s.path("bin/qmail-smtpd"))...)
		s.spawn(s.log, l.env(), "bin/tcpserver", append([]string{"-RHl0", host, "110"}, l.popChain()...)...)
	}
	for _, c := range []struct{ client, other, host, entry string }{
		{accepts4, refuses, myself, accepts4},
		{accepts6, "2001:db8::11", "[2001:db8::1]", accepts6},
	} {
		want := func(when, client, want string) {
			t.Helper()
			if got := relays(t, n.dial(client, c.host+":25")); got != want {
				t.Errorf("%s %s is told %q, want %q", when, client, got, want)
			}
		}
		want("before the login", c.client, noRelay)
		logIn(t, n.dial(c.client, c.host+":110"), "joe")
		want("after the login", c.client, "")
		want("after the login of another", c.other, noRelay)
		l.older(590 * time.Second)
		want("nearly too late", c.client, "")
		l.older(602 * time.Second)
		want("too late", c.client, noRelay)
		if _, err := os.Lstat(filepath.Join(l.dir, c.entry)); err == nil {
			t.Error("the login is still noted")
		}
		if said := string(s.said()); !strings.Contains(said, "]: Expired IP "+c.entry+" found, removing\n") {
			t.Errorf("it is not said that the login of %s has expired", c.entry)
		}
	}
	// What a login was good for arrives, and the log says whose it was.
	logIn(t, n.dial(accepts4, myself+":110"), "joe")
	client, err := smtp.NewClient(n.dial(accepts4, myself+":25"), "here.test")
	if err == nil {
		err = errors.Join(session(client, "joe@"+me, "far@away.example", "Subject: relayed\n\n"), client.Quit())
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the message", func() bool { return len(far.taken()) == 1 })
	if said := string(s.said()); !regexp.MustCompile(`relayed sender=<joe@me\.example> recipients=1 qp=\d+ user=joe\n`).MatchString(said) {
		t.Errorf("it is not said who has relayed: %s", said)
	}
}

// smtpArgs are the arguments of tcpserver for the SMTP server at an address.
func (l logins) smtpArgs(host, port string) []string {
	as := l.s.asQmaild(l.s.path("bin/relay-ctrl-check"))
	return append(append(as[:len(as)-1:len(as)-1], host, port), as[len(as)-1])
}

// dial connects from an address there to one here.
func (n network) dial(from, to string) (conn net.Conn) {
	n.here.t.Helper()
	eventually(n.here.t, to+" to answer", func() bool {
		n.there.do(func() error {
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: deadline}
			conn, _ = dialer.Dial("tcp", to)
			return nil
		})
		return conn != nil
	})
	return conn
}

// dovecotConf is that of a server of Dovecot's, of PROTOCOL, with one user and a script for logins.
const dovecotConf = `protocols = PROTOCOL
listen = 127.0.0.1
base_dir = DIR/run
state_dir = DIR/state
log_path = DIR/log
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
ssl = no
disable_plaintext_auth = no
mail_location = maildir:HOME/u/joe/Maildir
first_valid_uid = 1
first_valid_gid = 1
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u DIR/passwd
}
userdb {
  driver = static
  args = uid=UID gid=GID home=HOME/u/joe
}
service PROTOCOL-login {
  chroot =
  inet_listener PROTOCOL {
    port = PORT
  }
  inet_listener PROTOCOLs {
    port = 0
  }
}
service anvil {
  chroot =
}
service PROTOCOL {
  executable = PROTOCOL PROTOCOL-postlogin
}
service PROTOCOL-postlogin {
  executable = script-login DIR/postlogin
  user = root
  vsz_limit = 0
  unix_listener PROTOCOL-postlogin {
  }
}
`

// dovecot runs a server of Dovecot's, pop3 or imap, and returns its port. It looks for its
// parts below /usr, and gets them laid over what is there, for itself alone.
func (l logins) dovecot(protocol string) (port int, ok bool) {
	s := l.s
	s.t.Helper()
	program, ok := tool(s.t, "dovecot-"+protocol)
	if !ok {
		return 0, false
	}
	port = freePort(s.t)
	dir, err := os.MkdirTemp(*work, "dovecot") // a path for sockets, which must be short
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { os.RemoveAll(dir) })
	usr := filepath.Join(filepath.Dir(program), "../root/usr")
	conf := strings.NewReplacer("PROTOCOL", protocol, "DIR", dir, "HOME", home, "UID", fmt.Sprint(joeUID), "GID", fmt.Sprint(joeGID), "PORT", fmt.Sprint(port)).Replace(dovecotConf)
	for name, text := range map[string]string{
		"conf": conf, "passwd": "joe@x.example:secret\n", "log": "",
		// As its manual page has it, but for where things are.
		"postlogin": "#!/bin/sh\nexport PATH=" + s.path("bin") + ":/usr/local/bin:/usr/bin:/bin\nexport TCPREMOTEIP=\"$IP\"\n" +
			"envdir " + l.settings + " relay-ctrl-chdir relay-ctrl-allow\nexec \"$@\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "sh", "-c", "mount --make-rprivate / && mount -t overlay -o lowerdir="+usr+":/usr overlay /usr && exec dovecot -F -c "+dir+"/conf")
	cmd.Stderr = s.errors
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if log, _ := os.ReadFile(filepath.Join(dir, "log")); s.t.Failed() {
			s.t.Logf("Dovecot says\n%s", log)
		}
	})
	return port, true
}

// local connects to a port of this host.
func local(t *testing.T, port int) (conn net.Conn) {
	t.Helper()
	eventually(t, fmt.Sprintf("port %d to answer", port), func() bool {
		var err error
		conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		return err == nil
	})
	return conn
}

// logInByIMAP logs a user in.
func logInByIMAP(t *testing.T, conn net.Conn, user string) {
	t.Helper()
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	in := bufio.NewReader(conn)
	for _, step := range []struct{ command, want string }{
		{"", "* OK "}, {"1 LOGIN " + user + " secret\r\n", "1 OK "}, {"2 LOGOUT\r\n", "2 OK "},
	} {
		if _, err := io.WriteString(conn, step.command); err != nil {
			t.Fatal(err)
		}
		for line := ""; !strings.HasPrefix(line, step.want); {
			var err error
			if line, err = in.ReadString('\n'); err != nil || strings.HasPrefix(line, "1 NO") {
				t.Fatalf("to %q the IMAP server says %q, %v", step.command, line, err)
			}
		}
	}
}

// Who has logged in to Dovecot, which has a script for that, may send mail to anywhere.
func TestDovecotBeforeSMTP(t *testing.T) {
	if !asRoot(t, "runs a server that is root") {
		return
	}
	for protocol, logIn := range map[string]func(*testing.T, net.Conn, string){"pop3": logIn, "imap": logInByIMAP} {
		t.Run(protocol, func(t *testing.T) {
			s := install(t)
			s.start()
			l := s.logins()
			l.behind()
			mail, ok := l.dovecot(protocol)
			if !ok {
				return
			}
			port := s.tcpserver(l.smtpChain(), append(l.env(), "RELAY_CTRL_LOG_ENV=1")...)
			for _, step := range []struct {
				what string
				do   func()
				want string
			}{
				{"before the login", func() {}, noRelay},
				{"after the login", func() { logIn(t, local(t, mail), "joe@x.example") }, ""},
				{"too late", func() { l.older(602 * time.Second) }, noRelay},
			} {
				step.do()
				if got := relays(t, local(t, port)); got != step.want {
					t.Errorf("%s the client is told %q, want %q", step.what, got, step.want)
				}
			}
			if said := string(s.said()); !strings.Contains(said, "]: Setting USER=joe@x.example\n") {
				t.Errorf("whose login it is does not arrive: %s", said)
			}
		})
	}
}

// The run lines of relay-ctrl's guide, word for word but for where this suite is, under
// daemontools.
func TestRelayCtrlGuide(t *testing.T) {
	if !asRoot(t, "runs services as root") {
		return
	}
	tools := []string{"supervise", "svc", "svok", "envdir"}
	s := install(t)
	path, ok := s.alone(append(shellTools, tools...))
	if !ok {
		return
	}
	s.start()
	l := s.logins()
	uid, gid := s.account("qmaild", "nofiles")
	smtp, pop := freePort(t), freePort(t)
	chain := strings.Join(l.popChain()[1:], " ")
	for name, line := range map[string]string{
		"smtpd": fmt.Sprintf("envdir %s relay-ctrl-chdir tcpserver -vRHl0 -u %d -g %d 127.0.0.1 %d relay-ctrl-check qmail-smtpd", l.settings, uid, gid, smtp),
		"pop3d": fmt.Sprintf("envdir %s relay-ctrl-chdir tcpserver -RHl0 127.0.0.1 %d qmail-popup %s", l.settings, pop, chain),
	} {
		s.mkdir("service/"+name, 0o755, 0, 0)
		s.write("service/"+name+"/run", "#!/bin/sh\nexec "+line+"\n")
		if err := os.Chmod(s.path("service/"+name+"/run"), 0o755); err != nil {
			t.Fatal(err)
		}
		s.supervise(path, s.path("service/"+name))
	}
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"before the login", func() {}, noRelay},
		{"after the login", func() { logIn(t, local(t, pop), "joe") }, ""},
		{"after relay-ctrl-age", func() { l.age(path) }, ""},
		{"too late", func() { l.older(602 * time.Second); l.age(path) }, noRelay},
	} {
		step.do()
		if got := relays(t, local(t, smtp)); got != step.want {
			t.Errorf("%s the client is told %q, want %q", step.what, got, step.want)
		}
	}
	if left, _ := filepath.Glob(l.dir + "/*"); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

// age runs relay-ctrl-age as cron would.
func (l logins) age(path string) {
	l.s.t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "envdir "+l.settings+" relay-ctrl-age")
	cmd.Env = []string{"PATH=" + path + ":" + l.s.path("bin")}
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		l.s.t.Errorf("relay-ctrl-age: %v, %s", err, out)
	}
}

// supervise runs a service under supervise until the test ends.
func (s *suite) supervise(path, dir string) {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(path, "supervise"), dir)
	cmd.Env = []string{"PATH=" + s.path("bin") + ":" + path + ":/usr/bin:/bin"}
	cmd.Stderr = s.errors
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		run(filepath.Join(path, "svc"), "-dx", dir)
		end := time.AfterFunc(deadline, func() { cmd.Process.Kill() })
		defer end.Stop()
		cmd.Wait()
	})
}

// A login on one host counts on another, whose relay-ctrl-udp is walled.
func TestRelayCtrlAway(t *testing.T) {
	s := install(t)
	s.mkdir("allow", 0o755, 0, 0)
	port := fmt.Sprintf("RELAY_CTRL_PORT=%d", freePort(t))
	udp := s.spawn(s.errors, []string{"RELAY_CTRL_DIR=" + s.path("allow"), port}, "bin/relay-ctrl-udp")
	eventually(t, "relay-ctrl-udp to be walled", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", udp.Process.Pid))
		return err == nil && strings.Contains(string(status), "\nNoNewPrivs:\t1\n") && strings.Contains(string(status), "\nSeccomp:\t2\n")
	})
	for _, client := range []string{"192.0.2.7", "2001:db8::7"} {
		out, status := s.sh("", "relay-ctrl-send echo served", "TCPREMOTEIP="+client, "RELAY_CTRL_REMOTES=127.0.0.1", port)
		if out != "served\n" || status != 0 {
			t.Errorf("relay-ctrl-send: %d, %s", status, out)
		}
		eventually(t, "the login of "+client, func() bool { return s.exists("allow/" + client) })
	}
}
