package grant

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/proc"
	"quail/internal/prog"
)

// port is the one that other hosts are told at.
const port = 811

// sender tells the child of Send, the same file run once more, that it is that.
const sender = "QUAIL_RELAY_CTRL_SEND"

// Send is the program relay-ctrl-send. The next program does not wait: another process
// tells the other hosts, without the client's connection.
func Send(p *prog.Process) error {
	s := newProgram(p, true)
	if _, child := p.Env.Lookup(sender); !child && len(p.Args) == 0 {
		return s.fatal(prog.StatusTemporary, "usage: relay-ctrl-send program [ arg ... ]")
	}
	name, ok := s.client()
	if !ok {
		return s.stranger()
	}
	if len(p.Args) == 0 {
		return s.send(name)
	}
	if _, set := p.Env.Lookup("RELAY_CTRL_REMOTES"); !set {
		s.warn("$RELAY_CTRL_REMOTES is not set.")
	} else if s.authenticated() {
		if err := s.fork(); err != nil {
			s.warn("Could not fork: %v", err)
		}
	}
	return &prog.Become{Args: p.Args, Env: p.Env}
}

// fork starts the child.
func (p program) fork() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	child := proc.Command{
		Args: []string{self}, Env: p.Env.With(sender, "1"), Dir: p.Dir, Here: true,
		Stdin: null, Stdout: null, Stderr: p.Stderr,
	}
	_, err = child.Start()
	return err
}

// waiting is which hosts have not said yet that they know.
type waiting map[[4]byte]bool

// remotes reads a list of addresses.
func (p program) remotes(list string) waiting {
	w := waiting{}
	for _, text := range strings.Split(list, ",") {
		ip, err := netip.ParseAddr(text)
		switch {
		case text == "":
		case err != nil || !ip.Is4():
			p.warn("Could not parse IP '%s'.", text)
		default:
			w[ip.As4()] = true
		}
	}
	return w
}

// send tells the other hosts about an address, again and again until they have answered.
func (p program) send(address string) error {
	w := p.remotes(p.Env.Get("RELAY_CTRL_REMOTES"))
	socket, err := datagrams(0)
	if err != nil {
		return p.fatal(prog.StatusTemporary, "%v", err)
	}
	defer unix.Close(socket)
	to := p.setting("RELAY_CTRL_PORT", port)
	patience := time.Duration(p.setting("RELAY_CTRL_TIMEOUT", 1)) * time.Second
	for tries := p.setting("RELAY_CTRL_TRIES", 5); tries > 0 && len(w) > 0; tries-- {
		for ip := range w {
			if err := unix.Sendto(socket, []byte(address), 0, &unix.SockaddrInet4{Addr: ip, Port: to}); err != nil {
				p.warn("Sending IP to '%v' failed: %v", netip.AddrFrom4(ip), err)
			}
		}
		p.hear(socket, w, patience)
	}
	for ip := range w {
		p.warn("Timed out waiting for response from '%v'.", netip.AddrFrom4(ip))
	}
	return nil
}

// hear takes answers until all have come, or none has for so long. What others send keeps
// nobody waiting.
func (p program) hear(socket int, w waiting, patience time.Duration) {
	end := p.Now().Add(patience)
	for len(w) > 0 {
		left := end.Sub(p.Now()).Milliseconds()
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(socket), Events: unix.POLLIN}}, int(max(left, 0)))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		var answer [1]byte
		n, from, err := unix.Recvfrom(socket, answer[:], 0)
		if ip, is4 := from.(*unix.SockaddrInet4); err == nil && n == 1 && is4 && w[ip.Addr] {
			delete(w, ip.Addr)
			end = p.Now().Add(patience)
		}
	}
}
