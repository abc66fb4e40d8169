// Package qmqpc is qmail-qmqpc, which stands in qmail-queue's place on a host without a
// queue and hands messages to the queue of another one by QMQP. See spec "Receiving mail",
// section 8.
//
// It runs with the rights of whoever wants to send mail, and reads what any local user
// may write. It trusts the servers: what they say they have taken is gone. What a server
// has not said, to the last comma of its answer, it has not said.
//
// Differs from qmail: after a server that cannot take the message now, or cannot have all
// of it, the next one is tried; a message that is too large for a bit of memory is in a
// file; and addresses that qmail-queue would refuse are refused here.
//
// It does without package net, as qmail-queue does.
package qmqpc

import (
	"bufio"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/envelope"
	"quail/internal/netstring"
	"quail/internal/prog"
	"quail/internal/sandbox"
)

// client knows what is fixed but in tests.
type client struct {
	now     func() time.Time
	port    uint16
	connect time.Duration // to wait for a connection
	each    time.Duration // and for anything to happen in one
}

// maxAnswer is the longest answer of a server that is listened to, in bytes.
const maxAnswer = 64 << 10

// Run hands one message over.
func Run(p *prog.Process) error {
	return client{p.Now, 628, 10 * time.Second, time.Minute}.run(p)
}

// Wall is the wall around qmail-qmqpc.
func Wall(p *prog.Process) error {
	dir := string(control.In(conf.Home))
	w := sandbox.Wall{Read: []string{dir}, Write: []string{spoolDir}, Network: sandbox.Clients}
	if list, err := filepath.EvalSymlinks(filepath.Join(dir, "qmqpservers")); err == nil {
		w.Read = append(w.Read, list)
	}
	return sandbox.Around(w)(p)
}

func (c client) run(p *prog.Process) error {
	// With rights that its caller does not have it would read files that the caller may
	// not, and use ports.
	if os.Geteuid() != p.UID {
		return errors.New("this program must not be set-uid")
	}
	if _, err := os.Stat(conf.Home + "/."); err != nil {
		return prog.Exit(envelope.StatusHome)
	}
	list, set, err := control.In(conf.Home).List("qmqpservers")
	if err != nil || !set {
		return prog.Exit(envelope.StatusConfiguration)
	}
	m := &mail{text: spool{dir: spoolDir}}
	defer m.text.close()
	if status := m.read(p.Stdin, p.Stdout); status != 0 {
		return prog.Exit(status)
	}
	return prog.Exit(c.try(servers(list), m))
}

// servers returns the addresses of a list. What does not begin with one is ignored, as is
// what follows it.
func servers(list []string) (out []netip.Addr) {
	for _, item := range list {
		// Differs from qmail: IPv6 addresses are addresses too.
		address, err := netip.ParseAddr(item)
		if err != nil {
			behind := strings.TrimLeft(item, "0123456789.")
			address, err = netip.ParseAddr(item[:len(item)-len(behind)])
		}
		if err == nil && address.Zone() == "" {
			out = append(out, address.Unmap())
		}
	}
	return out
}

// try returns the status of the first server that has taken the message, has said that
// it never will, or may have taken it without saying so; else that of the last one.
func (c client) try(servers []netip.Addr, m *mail) (status int) {
	status = envelope.StatusConfiguration
	for _, server := range servers {
		var over bool
		if status, over = c.hand(netip.AddrPortFrom(server, c.port), m); over {
			break
		}
	}
	return status
}

// hand hands the message to one server. It is over if no other one must be tried.
func (c client) hand(server netip.AddrPort, m *mail) (status int, over bool) {
	conn, err := c.dial(server)
	switch {
	case errors.Is(err, errSocket):
		return envelope.StatusSocket, true
	case errors.Is(err, os.ErrDeadlineExceeded):
		return envelope.StatusNoAnswer, false
	case err != nil:
		return envelope.StatusNoConnection, false
	}
	defer conn.Close()
	w := bufio.NewWriterSize(conn, 16<<10)
	if err := m.send(w); err != nil {
		return envelope.StatusBroken, false
	}
	// Without the last comma it is no package, and whatever becomes of it is no mail.
	w.WriteByte(',')
	if err := w.Flush(); err != nil {
		return envelope.StatusBroken, true
	}
	return answer(conn)
}

// answer reads what a server says.
func answer(from io.Reader) (status int, over bool) {
	r, err := netstring.Open(bufio.NewReader(from))
	if err != nil {
		return envelope.StatusBroken, true
	}
	text, fits, err := "", r.Left() <= maxAnswer, error(nil)
	if fits {
		text, _, err = r.Text(maxAnswer)
	}
	switch {
	case err != nil || text == "":
		return envelope.StatusBroken, true
	case text[0] == 'K':
		return envelope.StatusOK, true
	case text[0] == 'D':
		return envelope.StatusRejected, true
	case text[0] == 'Z':
		return envelope.StatusDeferred, false
	}
	return envelope.StatusBroken, true
}
