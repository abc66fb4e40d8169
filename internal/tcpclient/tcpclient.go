// Package tcpclient connects to another host and runs a program. See spec "Network", A3.
//
// A program that is run has the connection as descriptors 6 and 7, in blocking mode, and
// the variables of package ucspi. The host at the other end, its name servers and its
// ident server are strangers: what they say is bounded and cleaned by package peer.
//
// Differs from qmail: PROTO is TCP6 between IPv6 addresses, and a number of a port above
// 65535 is a usage error.
package tcpclient

import (
	"net"
	"os"
	"strconv"

	"quail/internal/dial"
	"quail/internal/peer"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

// The descriptors that a program has the connection as.
const (
	fromNetwork = 6
	toNetwork   = 7
)

// Descriptors is how many numbers have to be kept free for a program, see prog.Reserve.
const Descriptors = toNetwork + 1

// Run is the program tcpclient.
func Run(p *prog.Process) error {
	o, err := parseOptions(p)
	if err != nil {
		return err
	}
	conn, err := o.Connect(p)
	if err != nil && o.Verbosity == dial.Silent {
		return prog.Exit(prog.StatusTemporary)
	}
	if err != nil {
		return err
	}
	socket, err := conn.File()
	if err != nil {
		return prog.Fail("unable to set up descriptors", err)
	}
	return &prog.Become{
		Args: o.program, Env: describe(p, o, conn).Environ(p.Env), Quiet: o.Verbosity == dial.Silent,
		Files: map[int]*os.File{fromNetwork: socket, toNetwork: socket},
	}
}

// describe finds out what the variables of a connection are, as far as the options ask.
func describe(p *prog.Process, o options, conn *net.TCPConn) ucspi.Connection {
	local, remote := conn.LocalAddr().(*net.TCPAddr).AddrPort(), conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	names := peer.NewResolver(p.Env)
	c := ucspi.Connection{
		Proto:   "TCP",
		LocalIP: local.Addr().Unmap().String(), LocalPort: strconv.Itoa(int(local.Port())), LocalHost: o.localHost,
		RemoteIP: remote.Addr().Unmap().String(), RemotePort: strconv.Itoa(int(remote.Port())),
	}
	if local.Addr().Unmap().Is6() {
		c.Proto = "TCP6"
	}
	if !o.localHost.Set {
		c.LocalHost, _ = names.Name(local.Addr().Unmap())
	}
	if o.remoteHost {
		c.RemoteHost, _ = names.Name(remote.Addr().Unmap())
	}
	if o.remoteInfo {
		c.RemoteInfo = peer.User(local, remote, o.identLimit)
	}
	return c
}
