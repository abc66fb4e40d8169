package tcpserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/cdb"
	"quail/internal/cdbfile"
	"quail/internal/errno"
	"quail/internal/nowait"
	"quail/internal/peer"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/tcprules"
	"quail/internal/ucspi"
	"quail/internal/warm"
)

// Raw wait statuses of connections that end without a program, as if a process
// had exited.
const (
	statusDenied  = prog.StatusPermanent << 8
	statusDropped = prog.StatusTemporary << 8
)

// visit is a connection from its first moment to its last. While a warm program
// serves it nothing else is held for it: neither a goroutine nor what is known of the
// client.
type visit struct {
	s       *server
	socket  *nowait.File
	number  uint64
	status  int
	pending atomic.Int32 // of the two that must be over: its beginning and its program
}

// connection begins a connection. It ends with its program, if that was started.
func (s *server) connection(fd int, remote netip.AddrPort) {
	v := &visit{s: s, socket: nowait.NewFile(fd)}
	v.pending.Store(2)
	if v.begin(remote) {
		v.over() // the other one is its program's
		return
	}
	v.socket.Close()
	v.pending.Store(1)
	v.over()
}

// over ends the connection when its opening has been reported and its program has
// ended, in whatever order: the log has them in the right one.
func (v *visit) over() {
	if v.pending.Add(-1) > 0 {
		return
	}
	v.s.log.ended(v.number, v.status)
	<-v.s.slots
}

// ended takes the status of the program. The descriptor that was kept, lest another
// program had to go on with the connection, goes first: the client sees the end.
func (v *visit) ended(status proc.Status, err error) {
	v.socket.Close()
	if err == nil {
		v.status = status.Raw()
	}
	v.over()
}

// begin does all that comes before the program, and starts it. Without a program
// the connection is over, with the status that a child would have ended with. A
// crash of this code ends one connection, not the server.
func (v *visit) begin(remote netip.AddrPort) (started bool) {
	var c ucspi.Connection
	defer func() {
		if r := recover(); r != nil {
			v.drop(c.RemoteIP, fmt.Errorf("internal error: %v", r))
		}
	}()
	s := v.s
	c.RemoteIP, c.RemotePort = remote.Addr().String(), strconv.Itoa(int(remote.Port()))
	local, err := s.greet(v.socket)
	if err != nil {
		v.drop(c.RemoteIP, err)
		return false
	}
	s.describe(&c, local, remote)
	rule, err := s.decide(&c)
	if err != nil {
		v.drop(c.RemoteIP, err)
		return false
	}
	if rule.Deny {
		v.number, v.status = s.unstarted(), statusDenied
		s.log.opened(v.number, "deny", &c)
		return false
	}
	env := c.Environ(s.p.Env)
	for _, setting := range rule.Env {
		name, value, _ := strings.Cut(setting, "=")
		env = env.With(name, value)
	}
	return v.start(&c, env)
}

// drop ends a connection because of err.
func (v *visit) drop(ip string, err error) {
	v.number, v.status = v.s.unstarted(), statusDropped
	v.s.log.dropped(v.number, ip)
	v.s.log.warn("dropping connection, " + err.Error())
}

// unstarted returns a number for a connection without a program, see the package
// comment.
func (s *server) unstarted() uint64 {
	return uint64(warm.Number(s.p.PID, int(s.count.Add(1))))
}

// greet prepares the socket, sends the banner, and returns the local address.
// The banner goes out before anything is looked up: that is what it is for.
func (s *server) greet(socket *nowait.File) (local netip.AddrPort, err error) {
	fd := int(socket.Fd())
	if !s.keepIP && !s.listener.is6 {
		nowait.Void(fd, unix.IPPROTO_IP, unix.IP_OPTIONS)
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
	sa, err := syscall.Getsockname(fd)
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
		c.LocalHost, _ = s.names.Name(local.Addr())
	}
	if s.remoteHost {
		c.RemoteHost, _ = s.names.Name(remote.Addr())
		if s.paranoid && c.RemoteHost.Set && !s.names.Confirms(c.RemoteHost.Text, remote.Addr()) {
			c.RemoteHost = ucspi.Value{}
		}
	}
	if s.remoteInfo {
		c.RemoteInfo = peer.User(local, remote, s.identLimit)
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
func (v *visit) start(c *ucspi.Connection, env prog.Env) (started bool) {
	s := v.s
	number, err := s.keeper.Start(proc.Command{
		Args: s.program,
		Env:  env,
		// The program is found before the rules change PATH.
		Search: s.p.Env,
		Dir:    s.p.Dir,
		Stdin:  v.socket, Stdout: v.socket, Stderr: s.p.Stderr,
	}, v.ended)
	if err == nil {
		if !warm.IsJob(number) {
			v.socket.Close() // the process has its own
		}
		v.number = uint64(number)
		s.log.opened(v.number, "ok", c)
		return true
	}
	if noProcess(err) {
		v.drop(c.RemoteIP, prog.Fail("unable to fork", err))
		return false
	}
	v.number, v.status = s.unstarted(), statusDropped
	s.log.opened(v.number, "ok", c)
	s.log.warn("dropping connection, unable to run " + s.program[0] + ": " + errno.Text(err))
	return false
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
