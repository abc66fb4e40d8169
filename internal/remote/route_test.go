package remote

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/dnstest"
	"quail/internal/resolve"
	"quail/internal/tcpto"
)

const zone = `
two.test. MX 10 a.test.
two.test. MX 20 b.test.
a.test. A 127.0.1.1
b.test. A 127.0.1.2
c.test. A 127.0.1.3
c.test. AAAA ::1
three.test. MX 30 c.test.
three.test. MX 10 a.test.
three.test. MX 20 b.test.
`

// The address that answers first gets the mail: those that refuse are passed
// over, IPv6 comes before IPv4, and once there is a connection there is no next.
func TestNextAddress(t *testing.T) {
	server := dnstest.Zone(t, zone, nil)
	refuse := script{">554 no\r\n"}
	for _, c := range []struct{ host, addr, want string }{
		{"two.test", "127.0.1.1", "ZConnected to 127.0.1.1 but greeting failed.\n" + said + "554 no\n\x00"},
		{"two.test", "127.0.1.2", "ZConnected to 127.0.1.2 but greeting failed.\n" + said + "554 no\n\x00"},
		{"three.test", "::1", "ZConnected to ::1 but greeting failed.\n" + said + "554 no\n\x00"},
		{"c.test", "127.0.1.3", "ZConnected to 127.0.1.3 but greeting failed.\n" + said + "554 no\n\x00"},
		{"[IPv6:::1]", "::1", "ZConnected to ::1 but greeting failed.\n" + said + "554 no\n\x00"},
	} {
		port, result := refuse.listen(t, net.JoinHostPort(c.addr, "0"))
		home(t, nil)
		r := &Remote{Resolver: &resolve.Resolver{Config: server.Config, Port: server.Port}, Local: own(), Port: port}
		if got := run(t, r, "hi\n", c.host, "a@b", "c@d"); got != c.want {
			t.Errorf("%s: reports %q, want %q", c.host, got, c.want)
		}
		if complaint := result(); complaint != "" {
			t.Errorf("%s: client: %s", c.host, complaint)
		}
	}
}

// silent is a port of 127.0.0.1 that answers no more: its queue of connections is
// as short as can be, and full.
func silent(t *testing.T) uint16 {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*unix.SockaddrInet4).Port
	for range 8 {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 200*time.Millisecond)
		if err != nil {
			return uint16(port)
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the port still answers")
	return 0
}

// Timeouts are counted in the file that all deliveries share; a host with two of
// them is left alone; one that refuses or answers is not.
func TestTimeouts(t *testing.T) {
	port := silent(t)
	home(t, map[string]string{
		"smtproutes":     fmt.Sprintf("x.test:127.0.0.1:%d\nrefused.test:127.0.0.1:%d\n", port, closed(t)),
		"timeoutconnect": "1\n",
	})
	file := tcpto.In(conf.Home)
	addr := netip.MustParseAddr("127.0.0.1")
	count := func() int {
		entries, err := file.Entries()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			return e.Count
		}
		return 0
	}
	want := string(noConnection) + "\x00"
	step := func(host string, counted int) {
		t.Helper()
		if got := run(t, nowhere(), "hi\n", host, "a@b", "c@d"); got != want {
			t.Errorf("%s: reports %q, want %q", host, got, want)
		}
		if got := count(); got != counted {
			t.Errorf("%s: %d timeouts counted, want %d", host, got, counted)
		}
	}
	step("refused.test", 0)
	step("x.test", 1)
	step("refused.test", 0)
	step("x.test", 1)
	past := time.Now().Add(-time.Hour)
	if err := file.Wipe(); err != nil {
		t.Fatal(err)
	}
	file.TimedOut(addr, past)
	step("x.test", 2)
	if err := os.WriteFile(conf.Home+"/control/timeoutconnect", []byte("20\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	step("x.test", 2)
	step("refused.test", 2) // not even tried
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("took %v over a host to be left alone", took)
	}
}

// closed returns a port that refuses connections.
func closed(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// What goes wrong before anybody is connected to.
func TestSetup(t *testing.T) {
	three := []string{"x.test", "a@b", "c@d"}
	for _, c := range []struct {
		name  string
		spoil func(home string) error
		args  []string
		want  verdict
	}{
		{"no arguments", nil, nil, usage},
		{"two arguments", nil, three[:2], usage},
		{"no home", os.RemoveAll, three, noHome},
		{"home is a file", func(home string) error {
			os.RemoveAll(home)
			return os.WriteFile(home, nil, 0o644)
		}, three, noHome},
		{"no me", func(home string) error { return os.Remove(home + "/control/me") }, three, noControls},
		{"no control", func(home string) error { return os.RemoveAll(home + "/control") }, three, noControls},
		{"bad me", func(home string) error { return unreadable(home, "me") }, three, noControls},
		{"bad helohost", func(home string) error { return unreadable(home, "helohost") }, three, noControls},
		{"bad smtproutes", func(home string) error { return unreadable(home, "smtproutes") }, three, noControls},
		{"bad timeoutconnect", func(home string) error { return unreadable(home, "timeoutconnect") }, three, noControls},
		{"bad timeoutremote", func(home string) error { return unreadable(home, "timeoutremote") }, three, noControls},
		{"nobody there", nil, three, noConnection},
		{"a line break in the sender", nil, []string{"x.test", "a\r\nRCPT TO:<x>@b", "c@d"}, lineBreak},
		{"a line break in a recipient", nil, []string{"x.test", "a@b", "c@d", "c@d\n"}, lineBreak},
	} {
		home(t, map[string]string{"smtproutes": fmt.Sprintf("x.test:127.0.0.1:%d\n", closed(t))})
		if c.spoil != nil {
			if err := c.spoil(conf.Home); err != nil {
				t.Fatal(err)
			}
		}
		if got := run(t, nowhere(), "hi\n", c.args...); got != string(c.want)+"\x00" {
			t.Errorf("%s: reports %q, want %q", c.name, got, c.want)
		}
	}
}

// unreadable puts a directory in place of a control file.
func unreadable(home, name string) error {
	os.Remove(home + "/control/" + name)
	return os.Mkdir(home+"/control/"+name, 0o755)
}

// helohost is used if it is there, even if empty, and me need not be.
func TestHeloHost(t *testing.T) {
	for _, c := range []struct{ me, helohost, want string }{
		{"m", "", "m"},
		{"m", "h \n", "h"},
		{"", "h", "h"},
		{"m", "\n", ""},
	} {
		s := script{">220\r\n", "<EHLO " + c.want + "\r\n", ">250 hi\r\n", "<MAIL FROM:<a@b>\r\n", ">550\r\n"}
		port, result := s.listen(t, "127.0.0.1:0")
		controls := map[string]string{"me": c.me, "smtproutes": fmt.Sprintf(":127.0.0.1:%d", port)}
		if c.helohost != "" {
			controls["helohost"] = c.helohost
		}
		home(t, controls)
		if c.me == "" {
			os.Remove(conf.Home + "/control/me")
		}
		run(t, nowhere(), "hi\n", "x.test", "a@b", "c@d")
		if complaint := result(); complaint != "" {
			t.Errorf("me %q, helohost %q: client: %s", c.me, c.helohost, complaint)
		}
	}
}

// A message that cannot be read is not half sent.
func TestUnreadableMessage(t *testing.T) {
	s := then(data1, ">354 go\r\n", "SILENCE")
	port, result := s.listen(t, "127.0.0.1:0")
	home(t, map[string]string{"smtproutes": fmt.Sprintf(":127.0.0.1:%d", port)})
	p, output := job(t, "", "x.test", "a@b", "c@d")
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	p.Stdin = dir
	if status := p.Do(nowhere().Deliver); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if got, want := output(), "r\x00"+string(noMessage)+"\x00"; got != want {
		t.Errorf("reports %q, want %q", got, want)
	}
	if complaint := result(); complaint != "" {
		t.Errorf("client: %s", complaint)
	}
}

// Nobody reads the reports: that is no failure of the delivery.
func TestNoOutput(t *testing.T) {
	p, _ := job(t, "", "x.test")
	p.Stdout.Close()
	if status := p.Do(Run); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
}

// A message from a pipe has no size that could be told before.
func TestPipe(t *testing.T) {
	s := script{">220 hi\r\n", "<EHLO me.test\r\n", ">250-me\r\n250 SIZE\r\n", "<MAIL FROM:<a@b>\r\n", ">250\r\n",
		"<RCPT TO:<c@d>\r\n", ">250\r\n", "<DATA\r\n", ">354 go\r\n", "<hi\r\n.\r\n", ">250 ok\r\n"}
	port, result := s.listen(t, "127.0.0.1:0")
	home(t, map[string]string{"smtproutes": fmt.Sprintf(":127.0.0.1:%d", port)})
	p, output := job(t, "", "x.test", "a@b", "c@d")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("hi\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	p.Stdin = r
	p.Do(nowhere().Deliver)
	if got, want := output(), "r\x00"+ok+said+"250 ok\n\x00"; got != want {
		t.Errorf("reports %q, want %q", got, want)
	}
	if complaint := result(); complaint != "" {
		t.Errorf("client: %s", complaint)
	}
}
