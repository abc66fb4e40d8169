// Package tcpenv is tcp-env: it finds out whose connection descriptor 0 is, and runs a
// server for it as tcpserver would have. See spec "Tools", section 9, and tcp-environ(5).
//
// inetd gives it the connection as descriptor 2 too, so it says nothing of what goes
// wrong: a stranger would read it. What name servers and the client's ident server say is
// bounded and cleaned by package peer.
//
// Differs from qmail: PROTO may be TCP6 as well, for a connection between IPv6 addresses.
package tcpenv

import (
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/peer"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

// options is the command line.
type options struct {
	remoteInfo bool // ask ident
	identLimit time.Duration
	program    []string
}

// Run is the program tcp-env.
func Run(p *prog.Process) error {
	o := options{remoteInfo: true, identLimit: 30 * time.Second}
	mute := *p
	mute.Stderr = nil
	g := mute.Getopt("rRt:")
	for g.Next() {
		switch g.Opt { // what is no option is passed over
		case 'r', 'R':
			o.remoteInfo = g.Opt == 'r'
		case 't':
			n, _ := prog.Number(g.Arg)
			o.identLimit = time.Duration(n) * time.Second
		}
	}
	if o.program = g.Rest; len(o.program) == 0 {
		return prog.Exit(prog.StatusTemporary)
	}
	become := &prog.Become{Args: o.program, Env: p.Env, Quiet: true}
	if proto := p.Env.Get("PROTO"); proto == "TCP" || proto == "TCP6" {
		return become
	}
	c, err := describe(p, o)
	if err != nil {
		return prog.Exit(prog.StatusTemporary)
	}
	become.Env = c.Environ(p.Env)
	return become
}

// describe finds out whose connection descriptor 0 is.
func describe(p *prog.Process, o options) (c ucspi.Connection, err error) {
	local, err := end(p, unix.Getsockname)
	if err != nil {
		return c, err
	}
	remote, err := end(p, unix.Getpeername)
	if err != nil {
		return c, err
	}
	names := peer.NewResolver(p.Env)
	c = ucspi.Connection{
		Proto:   "TCP",
		LocalIP: local.Addr().String(), LocalPort: strconv.Itoa(int(local.Port())), LocalHost: name(names, local.Addr()),
		RemoteIP: remote.Addr().String(), RemotePort: strconv.Itoa(int(remote.Port())), RemoteHost: name(names, remote.Addr()),
	}
	if local.Addr().Is6() {
		c.Proto = "TCP6"
	}
	if o.remoteInfo {
		c.RemoteInfo = peer.User(local, remote, o.identLimit)
	}
	return c, nil
}

// name returns the name of an address. Where it cannot be found out for now there is a
// word for that.
func name(names *peer.Resolver, ip netip.Addr) ucspi.Value {
	v, err := names.Name(ip)
	if err != nil {
		return ucspi.Known("softdnserror")
	}
	return v
}

// end returns one end of the connection that descriptor 0 is, by the system call for it.
func end(p *prog.Process, ask func(int) (unix.Sockaddr, error)) (a netip.AddrPort, err error) {
	raw, err := p.Stdin.SyscallConn()
	if err != nil {
		return a, err
	}
	var sa unix.Sockaddr
	held := raw.Control(func(fd uintptr) { sa, err = ask(int(fd)) })
	if held != nil || err != nil {
		return a, unix.ENOTCONN
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port)), nil
	}
	return a, unix.EAFNOSUPPORT
}
