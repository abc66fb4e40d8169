package qmqpc

import (
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"quail/internal/envelope"
)

// A host that does not answer at all is given up after a while; here it is one that has
// more callers than it can queue.
func TestConnectTimeout(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*syscall.SockaddrInet4).Port
	for err == nil { // until there is no room
		var c net.Conn
		if c, err = net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(port), 100*time.Millisecond); err == nil {
			defer c.Close()
		}
	}
	c := quick(uint16(port))
	c.connect = 50 * time.Millisecond
	if status := call(t, c, "127.0.0.1\n", "x\n", hello); status != envelope.StatusNoAnswer {
		t.Errorf("exited with %d", status)
	}
}
