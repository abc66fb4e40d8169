package suite

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"quail/internal/netstring"
)

// A null client: a host that has no queue, where bin/qmail-queue leads to qmail-qmqpc,
// and which hands all mail to another host at once.
type nullClient struct {
	*namespace
	home string
}

// newNullClient lays one out. Its programs have a home of their own linked in.
func newNullClient(t *testing.T, n *namespace, servers string) *nullClient {
	t.Helper()
	c := &nullClient{n, filepath.Join(*work, "null")}
	if err := os.RemoveAll(c.home); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", "/bin", "/control"} {
		if err := os.Mkdir(c.home+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.RemoveAll(c.home) })
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X quail/internal/conf.home="+c.home,
		"-o", c.home+"/bin/", "./cmd/qmail-qmqpc", "./cmd/qmail-inject", "./cmd/sendmail")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.control("me", "null.example\n")
	c.control("qmqpservers", servers)
	if err := os.Symlink("qmail-qmqpc", c.home+"/bin/qmail-queue"); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *nullClient) control(name, contents string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.home, "control", name), []byte(contents), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// sendmail sends a message as an ordinary user of the client, and returns what it said.
func (c *nullClient) sendmail(message string, recipients ...string) (out string, status int) {
	c.t.Helper()
	args := append(c.enter(), "setpriv", "--reuid", strconv.Itoa(joeUID), "--regid", strconv.Itoa(joeGID), "--clear-groups",
		c.home+"/bin/sendmail", "-f", "joe@null.example")
	args = append(args, recipients...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "USER=joe"}
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(message)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		c.t.Fatal(err)
	}
	return said.String(), cmd.ProcessState.ExitCode()
}

// serveMail has tcpserver run one of the servers at a port of the namespace that the suite
// is in.
func (s *suite) serveMail(n *namespace, address, port, program string) *process {
	s.t.Helper()
	p := s.spawn(s.log, nil, "bin/tcpserver", "-HR", "-l", me, "-u", account(s.t, "passwd", "qmaild"), "-g", account(s.t, "group", "nofiles"),
		address, port, s.path("bin/"+program))
	eventually(s.t, program, func() (listens bool) {
		n.do(func() error {
			conn, err := net.Dial("tcp", net.JoinHostPort(address, port))
			if listens = err == nil; listens {
				conn.Close()
			}
			return nil
		})
		return listens
	})
	return p
}

// A message goes from a host without a queue to the queue of the first server that is up,
// and waits with its sender when none is.
func TestNullClient(t *testing.T) {
	if !asRoot(t, "makes a network of its own") {
		return
	}
	s := install(t)
	s.excuse(foreign, "qmail-qmqpd has a process for each connection")
	s.joe(".qmail-two", "./Maildir/\n", 0o644)
	network := newNetwork(t, "")
	network.here.addresses("veth0", "192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64")
	network.there.addresses("veth1", "192.0.2.10/24", "2001:db8::10/64")
	// One that is not there, one that does not listen, and two that do.
	client := newNullClient(t, network.there, "192.0.2.99\n192.0.2.2\n192.0.2.1\n2001:db8::1\n")
	s.inside = network.here.enter()
	s.start()
	qmqpd := s.serveMail(network.here, "192.0.2.1", "628", "qmail-qmqpd")

	if out, status := client.sendmail("Subject: from afar\n\nhi\n", "joe@"+me, "joe-two@"+me); status != 0 || out != "" {
		t.Fatalf("sendmail exited with %d: %s", status, out)
	}
	s.settled(1)
	mail := s.mail("u/joe/Maildir")
	find(t, mail, "Return-Path: <joe@null.example>\nDelivered-To: joe@me.example\nReceived: (qmail ")
	m := find(t, mail, "\nDelivered-To: joe-two@me.example\n")
	if !strings.Contains(m, "\nReceived: from unknown (192.0.2.10)\n  by me.example with QMQP; ") {
		t.Errorf("what arrived does not say whence:\n%s", m)
	}
	if !strings.HasSuffix(m, "\nSubject: from afar\n\nhi\n") || !strings.Contains(m, " invoked from network); ") {
		t.Errorf("what arrived is\n%s", m)
	}

	// One that fits into no buffer. To wait for the host that is not there takes seconds.
	client.control("qmqpservers", "192.0.2.2\n192.0.2.1\n2001:db8::1\n")
	large := strings.Repeat("all work and no play\n", 100_000)
	if out, status := client.sendmail("Subject: large\n\n"+large, "joe@"+me); status != 0 || out != "" {
		t.Fatalf("sendmail exited with %d: %s", status, out)
	}
	s.settled(2)
	if m := find(t, s.mail("u/joe/Maildir"), "\nSubject: large\n"); !strings.HasSuffix(m, "\n\n"+large) {
		t.Errorf("of a large message %d bytes arrived", len(m))
	}

	// The servers take nothing: the sender is told.
	qmqpd.stop()
	before := s.ended()
	out, status := client.sendmail("Subject: never\n\n", "joe@"+me)
	if status != 111 || !strings.Contains(out, "connection to mail server rejected (#4.4.1)") {
		t.Errorf("with all servers down sendmail exited with %d: %s", status, out)
	}
	if s.ended() != before || len(s.queued()) != 0 {
		t.Error("a message came although no server was up")
	}

	// Then the last one comes up.
	s.serveMail(network.here, "2001:db8::1", "628", "qmail-qmqpd")
	if out, status := client.sendmail("Subject: by IPv6\n\n", "joe@"+me); status != 0 || out != "" {
		t.Fatalf("sendmail exited with %d: %s", status, out)
	}
	s.settled(3)
	find(t, s.mail("u/joe/Maildir"), "\nReceived: from unknown (2001:db8::10)\n  by me.example with QMQP; ")
}

// A package that is cut anywhere, on a real connection to a real queue, leaves nothing
// there; a whole one is queued once for each time that it was acknowledged.
func TestCutPackages(t *testing.T) {
	if !asRoot(t, "makes a network of its own") {
		return
	}
	s := install(t)
	s.excuse(foreign, "the servers have a process for each connection")
	network := newNetwork(t, "")
	network.here.addresses("veth0", "192.0.2.1/24")
	network.there.addresses("veth1", "192.0.2.10/24")
	s.inside = network.here.enter()
	s.start()
	for program, port := range map[string]string{"qmail-qmqpd": "628", "qmail-qmtpd": "209"} {
		s.serveMail(network.here, "192.0.2.1", port, program)
		if !*cold {
			s.walled(network.there, "192.0.2.1:"+port, program)
		}
	}
	to := netstring.Format("joe@" + me)
	packages := map[string]string{
		"209": netstring.Format("\rSubject: x\r\n\r\n") + "0:," + netstring.Format(to+netstring.Format("x@there.example")),
		"628": netstring.Format(netstring.Format("Subject: x\n\n") + "0:," + to),
	}
	whole := 0
	for port, text := range packages {
		for n := range len(text) + 1 {
			answer := converse(network.there, "192.0.2.1:"+port, text[:n])
			switch {
			case n < len(text) && answer != "":
				t.Errorf("port %s: %q was answered %q", port, text[:n], answer)
			case n == len(text) && !strings.Contains(answer, ":Kok "):
				t.Errorf("port %s: %q was answered %q", port, text, answer)
			case n == len(text):
				whole++
			}
		}
	}
	refusal := netstring.Format("Dsorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)")
	if answer := converse(network.there, "192.0.2.1:209", packages["209"]); !strings.HasSuffix(answer, refusal) {
		t.Errorf("a recipient elsewhere was answered %q", answer)
	}
	whole++
	s.settled(whole)
	s.empty()
	if n := len(s.mail("u/joe/Maildir")); n != whole {
		t.Errorf("%d messages arrived, %d were acknowledged", n, whole)
	}
}

// walled wants a server that is waiting for its client to have its wall.
func (s *suite) walled(n *namespace, address, program string) {
	s.t.Helper()
	n.do(func() error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		eventually(s.t, "the wall around "+program, func() bool {
			for pid, other := range sighted() {
				status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
				if other == program && strings.Contains(string(status), "\nNoNewPrivs:\t1\n") && strings.Contains(string(status), "\nSeccomp:\t2\n") {
					return true
				}
			}
			return false
		})
		return nil
	})
}

// converse says something to a server from a namespace, and listens until it hangs up.
func converse(n *namespace, address, text string) (answer string) {
	n.t.Helper()
	n.do(func() error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(deadline))
		if _, err := io.WriteString(conn, text); err != nil {
			return err
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		b, err := io.ReadAll(conn)
		if err != nil {
			return fmt.Errorf("after %q: %w", text, err)
		}
		answer = string(b)
		return nil
	})
	return answer
}
