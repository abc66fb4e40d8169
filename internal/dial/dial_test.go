package dial

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/prog"
)

// listen opens a port of 127.0.0.1.
func listen(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// Addresses are tried in turn, those again that did not answer in time.
func TestTry(t *testing.T) {
	port := netip.MustParseAddrPort("127.0.0.1:" + listen(t)).Port()
	// A listener whose queue is full answers nobody.
	full, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	queue(t, full)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	to := Usual()
	to.Verbosity, to.Patience = Verbose, [2]time.Duration{time.Millisecond, 10 * time.Millisecond}
	p := &prog.Process{Name: "tcpclient", Stderr: w}
	ip := netip.MustParseAddr
	conn, err := to.try(p, []netip.Addr{ip("127.0.0.3"), ip("127.0.0.2"), ip("127.0.0.1")}, port)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if conn, err := to.try(p, []netip.Addr{ip("127.0.0.2"), ip("127.0.0.3")}, port); err == nil {
		conn.Close()
		t.Error("connected to nobody")
	}
	w.Close()
	said, _ := io.ReadAll(r)
	want := strings.ReplaceAll("tcpclient: unable to connect to 127.0.0.3 port P: connection refused\n"+
		"tcpclient: connected to 127.0.0.1 port P\n"+
		"tcpclient: unable to connect to 127.0.0.3 port P: connection refused\n"+
		"tcpclient: unable to connect to 127.0.0.2 port P: timed out\n", "P", fmt.Sprint(port))
	if string(said) != want {
		t.Errorf("said %q, want %q", said, want)
	}
}

// queue makes the queue of a listener as short as can be and fills it.
func queue(t *testing.T, l net.Listener) {
	t.Helper()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), 0) })
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		c, err := net.DialTimeout("tcp", l.Addr().String(), 100*time.Millisecond)
		if err != nil {
			return // it is full
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue of a listener has no end")
}
