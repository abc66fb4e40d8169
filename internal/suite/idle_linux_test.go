package suite

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestIdleConnections bounds what a client costs that is connected and says nothing, in
// tcpserver and qmail-smtpd together, before it has said hello and after that.
func TestIdleConnections(t *testing.T) {
	if warmOnly(t) {
		return
	}
	// As many as the descriptors of this process and of the programs, which are given
	// the same limit, suffice for: two a connection, see tcpserver.
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	n := min(10000, int(files.Cur)/2-200)
	s := install(t)
	args := []string{"-c", strconv.Itoa(n + 10), "-b", "4096", s.path("bin/qmail-smtpd")}
	if root {
		args = append([]string{"-u", account(t, "passwd", "qmaild"), "-g", account(t, "group", "nofiles")}, args...)
	}
	port := s.tcpserver(args)
	clients := make([]net.Conn, n)
	for i := range clients {
		// One address has not enough ports for all.
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 3, byte(1+i/5000))}}
		c, err := from.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients[i] = c
	}
	line := make([]byte, 200)
	said := func(what string) {
		t.Helper()
		for _, c := range clients {
			c.SetDeadline(time.Now().Add(deadline))
			if k, err := c.Read(line); !strings.HasSuffix(string(line[:k]), "\r\n") {
				t.Fatalf("%s: told %q, %v", what, line[:k], err)
			}
		}
		each := 0
		// What a burst of clients leaves goes a moment after it is over.
		eventually(t, what+": memory of idle connections", func() bool {
			each = resident(t) / n
			return each <= 8<<10
		})
		t.Logf("%s: %d connections, %d bytes each", what, n, each)
	}
	said("greeted")
	for _, c := range clients {
		fmt.Fprint(c, "HELO client.example\r\n")
	}
	said("after HELO")
	for i := range 20 {
		if got := talk(t, port, smtpMail+"x\r\n.\r\n"+smtpQuit); !strings.Contains(got, smtpQueued) {
			t.Fatalf("client %d beside them is told %q", i, got)
		}
	}
}

// resident returns the memory that tcpserver and qmail-smtpd take, each its part of
// what is shared.
func resident(t *testing.T) (sum int) {
	t.Helper()
	for pid, program := range sighted() {
		if program != "tcpserver" && program != "qmail-smtpd" {
			continue
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), "\nPss:")
		var kb int
		if _, err := fmt.Sscan(rest, &kb); err != nil {
			t.Fatal(err)
		}
		sum += kb << 10
	}
	if sum == 0 {
		t.Fatal("no front end is running")
	}
	return sum
}

// TestIdleTLS bounds the same for clients that have begun TLS.
func TestIdleTLS(t *testing.T) {
	if warmOnly(t) {
		return
	}
	const n = 1000
	s := install(t)
	_, trust := s.underTLS()
	args := []string{"-c", strconv.Itoa(n + 10), "-b", "4096", s.path("bin/qmail-smtpd")}
	if root {
		args = append([]string{"-u", account(t, "passwd", "qmaild"), "-g", account(t, "group", "nofiles")}, args...)
	}
	port := s.tcpserver(args, "SMTPS=")
	config := &tls.Config{RootCAs: trust, ServerName: me}
	for range n {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(deadline))
		secure := tls.Client(c, config)
		line := make([]byte, 200)
		if k, err := secure.Read(line); !strings.HasSuffix(string(line[:k]), "\r\n") {
			t.Fatalf("greeted with %q, %v", line[:k], err)
		}
	}
	each := 0
	eventually(t, "memory of idle connections under TLS", func() bool {
		each = resident(t) / n
		return each <= 40<<10
	})
	t.Logf("%d connections under TLS, %d bytes each", n, each)
}
