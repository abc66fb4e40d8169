package remote

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"quail/internal/tcpto"
)

// dialer connects to the first candidate that can be had.
type dialer struct {
	timeout time.Duration
	port    uint16
	tcpto   tcpto.File
	now     func() time.Time
	pid     int
}

// first tries the candidates in turn. Hosts that others have waited for in vain
// of late are passed over, and what happens to the rest is remembered.
func (d *dialer) first(ctx context.Context, candidates []candidate) (net.Conn, verdict) {
	for _, c := range candidates {
		skip, known := d.tcpto.Query(c.addr, d.now(), d.pid)
		if skip {
			continue
		}
		conn, err := d.dial(ctx, c.addr)
		switch {
		case err != nil && noSocket(err):
			return nil, noSystem
		case err != nil && timedOut(err):
			d.tcpto.TimedOut(c.addr, d.now())
		case known:
			d.tcpto.Answered(c.addr)
		}
		if err == nil {
			return conn, ""
		}
	}
	return nil, noConnection
}

func (d *dialer) dial(ctx context.Context, addr netip.Addr) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	var nd net.Dialer
	return nd.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, d.port).String())
}

// noSocket reports whether the system could not even begin. A system without
// IPv6 is not meant: it has other addresses to try.
func noSocket(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) && call.Syscall == "socket" && !errors.Is(err, syscall.EAFNOSUPPORT)
}

// timedOut reports whether the other host kept silent. One that refused did not.
func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout() && !errors.Is(err, syscall.EAGAIN)
}
