// Package servertls is TLS as a server whose private keys another process holds:
// qmail-keys, see package keywire. Who uses it can prove to be this host for as long as
// qmail-keys answers, and has nothing to give away when it is taken over.
//
// TLS 1.2 and 1.3 are spoken, as package crypto/tls has them; clients are asked for no
// certificate, and a protocol that they name (ALPN) is ignored. Sessions can be resumed
// in the process that they began in.
//
// The enemy is the client: what it sends is read by crypto/tls, one record at a time.
// It waits for nothing but its own handshake, which is bounded in time as a whole.
package servertls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"time"

	"quail/internal/sasl"
	"quail/internal/tlsbinding"
	"quail/internal/ucspi"
)

// HandshakeTime is how long a handshake may take in all.
const HandshakeTime = 60 * time.Second

// goodbyeTime is how long a client is given to take the end of a session.
const goodbyeTime = 5 * time.Second

// Conn is a connection that speaks TLS, to be used as the ucspi.Conn below it, which it
// has taken over. One goroutine may read while another writes.
//
// A session that waits costs what crypto/tls keeps: no memory is held for what the
// client may send.
type Conn struct {
	wire *wire
	tls  *tls.Conn
	// more: the last read filled all the memory that it had, so there may be more of the
	// same record.
	more   bool
	state  state
	server *x509.Certificate
}

// state is what is known of a session after its handshake.
type state struct{ version, cipher, name string }

// Handshake makes the connection one that speaks TLS. name, if not "", is the server that
// a client means that names none. After an error the connection is of no use but to be
// closed.
//
// Bytes that the client sent before it was told to begin are not TLS, and are for the
// caller to refuse, who has them.
func (k *Keys) Handshake(conn *ucspi.Conn, name string) (*Conn, error) {
	set, err := k.current()
	if err != nil {
		return nil, err
	}
	c := &Conn{wire: &wire{conn: conn, now: k.now, reads: conn.Timeout(), writes: conn.Timeout(), last: k.now().Add(HandshakeTime)}}
	choice := &choice{set: set, name: name}
	c.tls = tls.Server(c.wire, k.config(choice))
	if err := c.tls.Handshake(); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errors.New("the client took too long")
		}
		return nil, err
	}
	c.wire.last = time.Time{}
	s := c.tls.ConnectionState()
	c.state = state{tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), hostName(s.ServerName)}
	c.server = choice.leaf(s.DidResume)
	return c, nil
}

// maxName is how long the name of a host is at most, RFC 1035 section 2.3.4.
const maxName = 255

// hostName returns what a client calls the server if that can be the name of a host,
// else "".
func hostName(name string) string {
	if len(name) > maxName {
		return ""
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		default:
			return ""
		}
	}
	return name
}

// Version returns the version of the protocol: TLSv1.2 or TLSv1.3.
func (c *Conn) Version() string {
	return map[string]string{"TLS 1.2": "TLSv1.2", "TLS 1.3": "TLSv1.3"}[c.state.version]
}

// Cipher returns the suite by its name in the registry of IANA.
func (c *Conn) Cipher() string { return c.state.cipher }

// ServerName returns the server that the client has named, or "".
func (c *Conn) ServerName() string { return c.state.name }

// Bindings returns what the session is known by at both ends, best first.
func (c *Conn) Bindings() []sasl.Binding {
	s := c.tls.ConnectionState()
	return tlsbinding.Of(&s, c.server)
}

// SetTimeouts changes how long each wait for the client may last, before something of
// it comes and before it takes something. No other goroutine may use the connection
// meanwhile.
func (c *Conn) SetTimeouts(read, write time.Duration) { c.wire.reads, c.wire.writes = read, write }

// Limit is that of ucspi.Conn.
func (c *Conn) Limit(total time.Duration) { c.wire.conn.Limit(total) }

// Pending reports whether something has been read of the client that Read has not yet
// returned, so that waiting for more would be wrong.
func (c *Conn) Pending() bool { return c.more || c.wire.chunk != nil }

// Wait is Lounge.Wait for this connection. It is false, and nothing happens, also where
// there is something to read already.
func (c *Conn) Wait(l *ucspi.Lounge, timeout time.Duration, call func(late bool)) bool {
	return !c.Pending() && l.Wait(c.wire.conn, timeout, call)
}

// Read is that of ucspi.Conn. The end of the session is io.EOF; one without a goodbye is
// io.ErrUnexpectedEOF.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return c.ReadTo(owned(b))
}

// owned is memory that is there anyway.
type owned []byte

func (b owned) Borrow() []byte { return b }
func (b owned) Return()        {}

// ReadTo is that of ucspi.Conn.
func (c *Conn) ReadTo(m ucspi.Memory) (int, error) {
	if !c.Pending() {
		if err := c.wire.fill(c.wire.patience(c.wire.reads)); err != nil {
			return 0, c.ended(err)
		}
	}
	b := m.Borrow()
	n, err := c.tls.Read(b)
	c.more = n > 0 && n == len(b)
	if n == 0 {
		m.Return()
	}
	return n, err
}

// ReadSoon is that of ucspi.Conn.
func (c *Conn) ReadSoon(m ucspi.Memory) (n int, rest time.Duration, err error) {
	if timeout := c.wire.patience(c.wire.reads); !c.Pending() && timeout > ucspi.Brief {
		err := c.wire.fill(ucspi.Brief)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, timeout - ucspi.Brief, nil
		}
		if err != nil {
			return 0, 0, c.ended(err)
		}
	}
	n, err = c.ReadTo(m)
	return n, 0, err
}

// ended is the error of a connection that ends where a session should.
func (c *Conn) ended(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Write is that of ucspi.Conn.
func (c *Conn) Write(b []byte) (int, error) { return c.tls.Write(b) }

// CloseWrite tells the client that nothing more will come.
func (c *Conn) CloseWrite() error { return c.tls.CloseWrite() }

// Close says goodbye, for which the client is given a few seconds, and closes the
// connection below as its own Close does.
func (c *Conn) Close() {
	c.tls.Close()
	c.wire.drop()
	c.wire.conn.Close()
}
