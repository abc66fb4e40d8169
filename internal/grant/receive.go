package grant

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"quail/internal/prog"
	"quail/internal/relayctl"
)

// longest is how long a packet may be, in bytes. What is longer is no address.
const longest = 511

// receivedMode is that of an entry that another host has sent.
const receivedMode = 0o644

// Receive returns the program relay-ctrl-udp. wall is built when the directory and the
// socket are open; its argument names the directory.
//
// Nothing tells who has sent a packet. Whoever can reach the port decides who may send
// mail through this host.
func Receive(wall func(directory string) error) func(*prog.Process) error {
	return func(p *prog.Process) error {
		r := newProgram(p, false)
		dir, shared, ok := r.enter()
		if !ok {
			return prog.Exit(prog.StatusTemporary)
		}
		if !shared {
			// Opened once, as the original does: there it stays.
			var err error
			if dir, err = relayctl.Open(p.Path(p.Env.Get("RELAY_CTRL_DIR"))); err != nil {
				return r.fatal(prog.StatusTemporary, "Could not open directory: %s", relayctl.Reason(err))
			}
		}
		socket, err := datagrams(r.setting("RELAY_CTRL_PORT", port))
		if err != nil {
			return r.fatal(prog.StatusTemporary, "%v", err)
		}
		if err := wall(fmt.Sprintf("/proc/self/fd/%d", dir.FD())); err != nil {
			return err
		}
		return r.receive(socket, dir)
	}
}

// datagrams returns a socket for UDP at a port.
func datagrams(port int) (int, error) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return 0, fmt.Errorf("Could not create socket: %s", relayctl.Reason(err))
	}
	unix.CloseOnExec(socket)
	if err := unix.Bind(socket, &unix.SockaddrInet4{Port: port}); err != nil {
		return 0, fmt.Errorf("Could not bind socket: %s", relayctl.Reason(err))
	}
	return socket, nil
}

// receive takes packets for ever.
func (p program) receive(socket int, dir relayctl.Dir) error {
	packet := make([]byte, longest+1)
	for {
		n, from, err := unix.Recvfrom(socket, packet, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return p.fatal(prog.StatusTemporary, "Could not receive: %s", relayctl.Reason(err))
		}
		sender, is4 := from.(*unix.SockaddrInet4)
		if is4 && p.packet(packet[:n], netip.AddrFrom4(sender.Addr), dir) {
			unix.Sendto(socket, []byte{1}, 0, from)
		}
	}
}

// packet makes an entry of a packet, and reports whether it did.
func (p program) packet(packet []byte, from netip.Addr, dir relayctl.Dir) bool {
	text, _, _ := strings.Cut(string(packet), "\x00")
	name, ok := relayctl.Name(text)
	if !ok {
		p.warn("Invalid IP from '%v'.", from)
		return false
	}
	if err := dir.Record(name, nil, receivedMode, p.Now(), p.PID); err != nil {
		p.warn("%v", err)
		return false
	}
	return true
}
