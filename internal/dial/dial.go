// Package dial connects to other hosts by TCP, for programs whose user has named host and
// port. See spec "Network", A3.
//
// Differs from qmail: IPv6 addresses are connected to, and addresses are tried in the
// order of RFC 6724, where the original shuffles them.
package dial

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"quail/internal/errno"
	"quail/internal/peer"
	"quail/internal/prog"
)

// How much is said of a connection.
const (
	Silent  = iota // nothing
	Terse          // which addresses did not answer
	Verbose        // which one did, too
)

// Target is what to connect to, and how.
type Target struct {
	Host      string // an address or a name; "" and "0" are this machine
	Port      string // a number or a service
	Verbosity int
	Local     netip.AddrPort   // what to connect from; what is zero the system chooses
	Patience  [2]time.Duration // for each address, at the first try and at the second
	NoDelay   bool             // send small packets at once
}

// Usual returns a Target with what holds if nobody says otherwise.
func Usual() Target {
	return Target{Verbosity: Terse, Patience: [2]time.Duration{2 * time.Second, 58 * time.Second}}
}

// Connect makes the connection. Addresses that do not answer are told of on descriptor 2,
// as far as the Target has it; an error then says no more.
func (t Target) Connect(p *prog.Process) (*net.TCPConn, error) {
	host := t.Host
	if host == "" || host == "0" {
		host = "127.0.0.1"
	}
	all, err := peer.NewResolver(p.Env).Addresses(host)
	if err != nil {
		return nil, err
	}
	var addresses []netip.Addr
	for _, a := range all {
		if from := t.Local.Addr(); !from.IsValid() || from.Is4() == a.Is4() {
			addresses = append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		return nil, errors.New("no IP address for " + host)
	}
	port, err := peer.Port(t.Port)
	if err != nil {
		return nil, err
	}
	return t.try(p, addresses, port)
}

// try connects to the first of addresses that answers. After a round those that were not
// heard of in time have another chance, with more patience.
func (t Target) try(p *prog.Process, addresses []netip.Addr, port uint16) (*net.TCPConn, error) {
	rounds := t.Patience[:]
	if len(addresses) == 1 {
		rounds = []time.Duration{t.Patience[0] + t.Patience[1]}
	}
	for round, patience := range rounds {
		var late []netip.Addr
		for _, ip := range addresses {
			conn, err := t.dial(netip.AddrPortFrom(ip, port), patience)
			var call *os.SyscallError
			switch {
			case err == nil:
				if t.Verbosity >= Verbose {
					fmt.Fprintf(p.Stderr, "%s: connected to %s port %d\n", p.Name, ip, port)
				}
				return conn, nil
			case errors.As(err, &call) && call.Syscall == "bind":
				return nil, prog.Fail("unable to bind socket", err)
			case round+1 < len(rounds) && errors.Is(err, os.ErrDeadlineExceeded):
				late = append(late, ip)
			case t.Verbosity > Silent:
				fmt.Fprintf(p.Stderr, "%s: unable to connect to %s port %d: %s\n", p.Name, ip, port, errno.Text(err))
			}
		}
		addresses = late
	}
	return nil, prog.Exit(prog.StatusTemporary)
}

// grace is added to each wait: with none at all nothing could be connected to.
const grace = 20 * time.Millisecond

// dial connects to one address.
func (t Target) dial(to netip.AddrPort, patience time.Duration) (*net.TCPConn, error) {
	d := net.Dialer{
		Timeout:   patience + grace,
		LocalAddr: &net.TCPAddr{IP: t.Local.Addr().AsSlice(), Port: int(t.Local.Port())},
		KeepAlive: -1, // left to whoever gets the connection
	}
	conn, err := d.Dial("tcp", to.String())
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return nil, os.ErrDeadlineExceeded
		}
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	return tcp, tcp.SetNoDelay(t.NoDelay)
}
