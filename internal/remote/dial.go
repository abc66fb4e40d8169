package remote

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"quail/internal/nexthop"
	"quail/internal/tcpto"
)

const (
	// headStart is how long an address has the race to itself before the next one
	// of the same preference is tried beside it (RFC 8305, section 5).
	headStart = 250 * time.Millisecond
	// maxRacing bounds how many addresses of one host are tried at once.
	maxRacing = 8
)

// dialer connects to the first candidate that can be had.
type dialer struct {
	timeout time.Duration
	port    uint16
	tcpto   tcpto.File
	now     func() time.Time
	pid     int
}

// first tries the candidates, those of one preference before those of the next.
func (d *dialer) first(ctx context.Context, candidates []nexthop.Candidate) (attempt, verdict) {
	for len(candidates) > 0 {
		n := 1
		for n < len(candidates) && candidates[n].Pref == candidates[0].Pref {
			n++
		}
		if a, v := d.race(ctx, candidates[:n]); v != noConnection {
			return a, v
		}
		candidates = candidates[n:]
	}
	return attempt{}, noConnection
}

// attempt is what became of one candidate.
type attempt struct {
	nexthop.Candidate
	known bool // to the tcpto file
	conn  net.Conn
	err   error
}

// race tries the candidates in turn, the next one as soon as the one before it has
// failed or had its head start. The first connection made ends the race: nothing
// is said of those that had not ended by then.
//
// Hosts that others have waited for in vain of late are passed over, and what
// happens to the rest is remembered.
//
// Differs from qmail: addresses of one preference are not waited for one after
// another.
func (d *dialer) race(ctx context.Context, candidates []nexthop.Candidate) (attempt, verdict) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan attempt, len(candidates))
	running, due := 0, true
	next := time.NewTimer(headStart)
	defer next.Stop()
	for running > 0 || len(candidates) > 0 {
		if due && len(candidates) > 0 && running < maxRacing {
			c := candidates[0]
			candidates = candidates[1:]
			skip, known := d.tcpto.Query(c.Addr, d.now(), d.pid)
			if skip {
				continue
			}
			go func() {
				conn, err := d.dial(ctx, c.Addr)
				ended <- attempt{c, known, conn, err}
			}()
			running++
			due = false
			next.Reset(headStart)
			continue
		}
		select {
		case <-next.C:
			due = true
		case a := <-ended:
			running--
			if v := d.remember(a); v != noConnection {
				go closeAll(ended, running)
				return a, v
			}
			due = true
		}
	}
	return attempt{}, noConnection
}

// remember tells the tcpto file how an attempt ended, and what that means: ""
// for a connection, noConnection for an address to be given up.
func (d *dialer) remember(a attempt) verdict {
	switch {
	case a.err != nil && noSocket(a.err):
		return noSystem
	case a.err != nil && timedOut(a.err):
		d.tcpto.TimedOut(a.Addr, d.now())
	case a.known:
		d.tcpto.Answered(a.Addr)
	}
	if a.err != nil {
		return noConnection
	}
	return ""
}

// closeAll ends connections that nobody wants any more.
func closeAll(ended <-chan attempt, running int) {
	for range running {
		if a := <-ended; a.err == nil {
			a.conn.Close()
		}
	}
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
