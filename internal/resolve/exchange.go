package resolve

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// Resolver asks the name servers that a resolv.conf lists. The zero value is the
// host's own.
type Resolver struct {
	Config string // path of the file; "" stands for /etc/resolv.conf
	Port   int    // port of the servers; 0 stands for 53
	Cache  *Cache // of answers; nil keeps none
	// Servers, if there are any, are asked instead of those that the file lists.
	Servers []netip.Addr
}

// Limits on what a resolv.conf may ask for; they are those of the C library.
const (
	maxConfig   = 1 << 16
	maxServers  = 3
	maxTimeout  = 30
	maxAttempts = 5
)

// truncated is the TC bit in the third byte of an answer.
const truncated = 0x02

// maxUDP is how much of a datagram is read: what does not fit says so itself.
const maxUDP = 4096

// settings is what counts in a resolv.conf.
type settings struct {
	servers  []string // HOST:PORT
	timeout  time.Duration
	attempts int
}

// settings reads the file, anew for each question: resolv.conf changes when a
// host moves. Without a usable server in it, the server is this host.
func (r *Resolver) settings() (settings, error) {
	path := r.Config
	if path == "" {
		path = "/etc/resolv.conf"
	}
	b, err := readConfig(path)
	if err != nil {
		return settings{}, err
	}
	c, err := dns.ClientConfigFromReader(bytes.NewReader(b))
	if err != nil {
		return settings{}, fmt.Errorf("read %s: %w", path, err)
	}
	port := 53
	if r.Port != 0 {
		port = r.Port
	}
	s := settings{
		timeout:  time.Duration(min(c.Timeout, maxTimeout)) * time.Second,
		attempts: min(c.Attempts, maxAttempts),
	}
	for _, server := range r.Servers {
		s.servers = append(s.servers, net.JoinHostPort(server.String(), strconv.Itoa(port)))
	}
	if len(s.servers) > 0 {
		return s, nil
	}
	for _, server := range c.Servers {
		if _, err := netip.ParseAddr(server); err == nil && len(s.servers) < maxServers {
			s.servers = append(s.servers, net.JoinHostPort(server, strconv.Itoa(port)))
		}
	}
	if len(s.servers) == 0 {
		s.servers = []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	}
	return s, nil
}

func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxConfig))
}

// ask puts the question to each server in turn, several times if need be, until
// one gives an answer that can be read and is either "yes" or "no such name". A
// server that answers anything else is not asked again.
//
// Differs from qmail: when every server finds the query malformed, or answers with
// a code that nobody knows, that is not taken for a denial.
func (r *Resolver) ask(ctx context.Context, q question) (*dns.Msg, error) {
	s, err := r.settings()
	if err != nil {
		return nil, err
	}
	refused := make(map[string]bool)
	for range s.attempts {
		for _, server := range s.servers {
			if refused[server] {
				continue
			}
			var reply *dns.Msg
			reply, err = s.exchange(ctx, server, q)
			switch {
			case err != nil:
			case lame(reply):
				refused[server] = true
				err = fmt.Errorf("%s does not know", server)
			case reply.Rcode == dns.RcodeSuccess || reply.Rcode == dns.RcodeNameError:
				return reply, nil
			default:
				refused[server] = true
				err = fmt.Errorf("%s answered %s", server, dns.RcodeToString[reply.Rcode])
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	return nil, err
}

// lame reports whether the answer is that of a server which is not in charge of
// the name and asks nobody else: it says nothing about what exists.
func lame(m *dns.Msg) bool {
	return m.Rcode == dns.RcodeSuccess && len(m.Answer) == 0 && !m.Authoritative && !m.RecursionAvailable
}

// exchange asks one server by UDP, and by TCP if the answer does not fit.
func (s settings) exchange(ctx context.Context, server string, q question) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	packet, err := overUDP(ctx, server, q)
	if err != nil {
		return nil, err
	}
	if packet[2]&truncated != 0 {
		if packet, err = overTCP(ctx, server, q); err != nil {
			return nil, err
		}
	}
	return parse(packet)
}

// overUDP sends the query from a new port and waits for the packet that answers
// it, ignoring all others.
func overUDP(ctx context.Context, server string, q question) ([]byte, error) {
	conn, err := dial(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write(q.wire); err != nil {
		return nil, err
	}
	packet := make([]byte, maxUDP)
	for {
		n, err := conn.Read(packet)
		if err != nil {
			return nil, err
		}
		if q.mine(packet[:n]) {
			return packet[:n], nil
		}
	}
}

// overTCP sends the query as RFC 7766 has it, a length before each message.
func overTCP(ctx context.Context, server string, q question) ([]byte, error) {
	conn, err := dial(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(q.wire)))
	if _, err := conn.Write(append(framed, q.wire...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	packet := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, packet); err != nil {
		return nil, err
	}
	if !q.mine(packet) || packet[2]&truncated != 0 {
		return nil, errMalformed
	}
	return packet, nil
}

// dial connects to a server; everything done on the connection ends with ctx.
func dial(ctx context.Context, network, server string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}
