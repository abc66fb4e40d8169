package tcpserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"quail/internal/cdb"
	"quail/internal/cdbfile"
	"quail/internal/errno"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/tcprules"
	"quail/internal/ucspi"
)

// Raw wait statuses of connections that end without a program, as if a process
// had exited.
const (
	statusDenied  = prog.StatusPermanent << 8
	statusDropped = prog.StatusTemporary << 8
)

// connection takes one connection from its first moment to its last.
func (s *server) connection(fd int, remote netip.AddrPort) {
	socket := os.NewFile(uintptr(fd), "connection")
	number, child, status := s.begin(socket, remote)
	socket.Close()
	if child != nil {
		if ended, err := child.Wait(); err == nil {
			status = ended.Raw()
		}
	}
	s.log.ended(number, status)
	<-s.slots
}

// begin does all that comes before the program, and starts it. Without a child
// the connection is over, with the status that a child would have ended with. A
// crash of this code ends one connection, not the server.
func (s *server) begin(socket *os.File, remote netip.AddrPort) (number uint64, child *proc.Child, status int) {
	var c ucspi.Connection
	defer func() {
		if r := recover(); r != nil {
			number, child, status = s.drop(c.RemoteIP, fmt.Errorf("internal error: %v", r))
		}
	}()
	c.RemoteIP, c.RemotePort = remote.Addr().String(), strconv.Itoa(int(remote.Port()))
	local, err := s.greet(int(socket.Fd()))
	if err != nil {
		return s.drop(c.RemoteIP, err)
	}
	s.describe(&c, local, remote)
	rule, err := s.decide(&c)
	if err != nil {
		return s.drop(c.RemoteIP, err)
	}
	if rule.Deny {
		number = s.unstarted()
		s.log.opened(number, "deny", &c)
		return number, nil, statusDenied
	}
	env := c.Environ(s.p.Env)
	for _, setting := range rule.Env {
		name, value, _ := strings.Cut(setting, "=")
		env = env.With(name, value)
	}
	return s.start(socket, &c, env)
}

// drop ends a connection because of err.
func (s *server) drop(ip string, err error) (number uint64, child *proc.Child, status int) {
	number = s.unstarted()
	s.log.dropped(number, ip)
	s.log.warn("dropping connection, " + err.Error())
	return number, nil, statusDropped
}

// unstarted returns a number for a connection without a process. See the package
// comment; process ids are below 2^22 on every system that counts.
func (s *server) unstarted() uint64 {
	const most = 10_000_000
	return uint64(s.p.PID)*most + s.count.Add(1)%most
}

// greet prepares the socket, sends the banner, and returns the local address.
// The banner goes out before anything is looked up: that is what it is for.
func (s *server) greet(fd int) (local netip.AddrPort, err error) {
	if !s.keepIP && !s.listener.is6 {
		unix.SetsockoptString(fd, unix.IPPROTO_IP, unix.IP_OPTIONS, "")
	}
	if s.noDelay {
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	for rest := []byte(s.banner); len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil && err != unix.EINTR {
			return local, prog.Fail("unable to print banner", err)
		}
		rest = rest[max(n, 0):]
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return local, prog.Fail("unable to get local address", err)
	}
	return addrPort(sa), nil
}

// describe finds out whose connection it is, as far as the options ask.
func (s *server) describe(c *ucspi.Connection, local, remote netip.AddrPort) {
	c.Proto = "TCP"
	if local.Addr().Is6() {
		c.Proto = "TCP6"
	}
	c.LocalIP, c.LocalPort, c.LocalHost = local.Addr().String(), s.localPort, s.localHost
	if !s.localHost.Set {
		c.LocalHost = s.names.name(local.Addr())
	}
	if s.remoteHost {
		c.RemoteHost = s.names.name(remote.Addr())
		if s.paranoid && c.RemoteHost.Set && !s.names.confirms(c.RemoteHost.Text, remote.Addr()) {
			c.RemoteHost = ucspi.Value{}
		}
	}
	if s.remoteInfo {
		c.RemoteInfo = remoteInfo(local, remote, s.identLimit)
	}
}

// decide looks the connection up in the rules. The file is opened each time:
// replacing it takes effect at once.
func (s *server) decide(c *ucspi.Connection) (tcprules.Decision, error) {
	if s.rules == "" {
		return tcprules.Decision{}, nil
	}
	db, err := cdbfile.Open(s.p.Path(s.rules))
	if errors.Is(err, fs.ErrNotExist) && s.mayLackCDB {
		return tcprules.Decision{}, nil
	}
	if err != nil {
		return tcprules.Decision{}, s.unreadable(err)
	}
	defer db.Close()
	rule, err := tcprules.Lookup(db.Reader, tcprules.Peer{
		IP:   c.RemoteIP,
		Host: c.RemoteHost.Text, HasHost: c.RemoteHost.Set,
		Info: c.RemoteInfo.Text, HasInfo: c.RemoteInfo.Set,
	})
	if err != nil {
		return rule, s.unreadable(err)
	}
	return rule, nil
}

// unreadable says, in the words of the original, why there are no rules.
func (s *server) unreadable(err error) error {
	if errors.Is(err, cdb.ErrFormat) {
		err = unix.EPROTO
	}
	return prog.Fail("unable to read "+s.rules, err)
}

// start runs the program on the connection.
func (s *server) start(socket *os.File, c *ucspi.Connection, env prog.Env) (number uint64, child *proc.Child, status int) {
	child, err := proc.Command{
		Args: s.program,
		Env:  env,
		// The program is found before the rules change PATH.
		Search: s.p.Env,
		Dir:    s.p.Dir,
		Stdin:  socket, Stdout: socket, Stderr: s.p.Stderr,
	}.Start()
	if err == nil {
		number = uint64(child.PID)
		s.log.opened(number, "ok", c)
		return number, child, 0
	}
	if noProcess(err) {
		return s.drop(c.RemoteIP, prog.Fail("unable to fork", err))
	}
	number = s.unstarted()
	s.log.opened(number, "ok", c)
	s.log.warn("dropping connection, unable to run " + s.program[0] + ": " + errno.Text(err))
	return number, nil, statusDropped
}

// noProcess reports whether err means that there was no room for a process, and
// not that the program is at fault.
func noProcess(err error) bool {
	for _, no := range []error{unix.EAGAIN, unix.ENOMEM, unix.EMFILE, unix.ENFILE} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}
