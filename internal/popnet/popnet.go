// Package popnet is the half of qmail-popup that talks with the client: it greets, takes
// name and password, and hands them over to the other half (package attempt), which has
// them checked. See spec "Receiving mail", section 9, RFC 1939, 2449, 2595 and 6856.
//
// Anybody may be the client. So it runs as a user who owns nothing, behind a wall, holds
// one command line, and sends nothing to the other half but that one attempt.
//
// Without TLS it ends with that, and the connection is the server's. Under TLS it stays
// between the two until either is done, and has a socket to the server; what was sent
// behind the password reaches the server either way.
//
// Differs from qmail: what the client sends is read without root's rights, by a process
// of its own; CAPA is answered; STLS and UTF8 are known.
package popnet

import (
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"quail/internal/attempt"
	"quail/internal/conf"
	"quail/internal/keywire"
	"quail/internal/pop3"
	"quail/internal/privs"
	"quail/internal/prog"
	"quail/internal/servertls"
	"quail/internal/ucspi"
)

// timeout is how long a client may take for each thing that it sends or takes.
const timeout = 20 * time.Minute

// channel is what the client is spoken to by: the connection, or TLS on it.
type channel interface {
	io.Reader
	io.Writer
}

// errClient ends a session in which nobody has logged in: the client has gone, or has
// said what ends it, and knows.
var errClient = errors.New("the client has gone")

// session is one client that has not logged in.
type session struct {
	plain     *ucspi.Conn
	client    channel // plain or tunnel
	keys      *servertls.Keys
	tunnel    *servertls.Conn // TLS on plain, nil before it
	host      string          // this one
	timestamp string          // what the client was greeted with
	name      string
	named     bool // there was a USER
	utf8      bool // there was a UTF8
	demanding bool // nobody logs in without TLS
	implicit  bool // TLS comes before the first word
}

// serve talks to the client until it wants to log in.
func (s *session) serve() (attempt.Attempt, error) {
	if s.implicit {
		if err := s.handshake(); err != nil {
			return attempt.Attempt{}, err
		}
	}
	if s.say(pop3.OK+s.timestamp) != nil {
		return attempt.Attempt{}, errClient
	}
	for {
		c, err := pop3.ReadCommand(byByte{s.client})
		if err != nil {
			if errors.Is(err, pop3.ErrLong) {
				s.say(pop3.NoMemory)
			}
			return attempt.Attempt{}, errClient
		}
		if c.Verb == "stls" && c.Arg == "" && s.mayStartTLS() {
			if err := s.startTLS(); err != nil {
				return attempt.Attempt{}, err
			}
			continue
		}
		reply, a := s.command(c)
		if a != nil {
			return *a, nil
		}
		if s.say(reply) != nil || c.Verb == "quit" {
			return attempt.Attempt{}, errClient
		}
	}
}

// command carries a command out: it is answered, or it is an attempt to log in.
func (s *session) command(c pop3.Command) (reply string, a *attempt.Attempt) {
	switch c.Verb {
	case "user", "pass", "apop":
		if s.demanding {
			return "-ERR STLS first", nil
		}
		return s.login(c)
	case "noop", "quit":
		return pop3.OK, nil
	case "capa":
		return s.capabilities(), nil
	case "utf8":
		if c.Arg != "" {
			return pop3.Syntax, nil
		}
		s.utf8 = true
		return pop3.OK, nil
	}
	return "-ERR authorization first", nil
}

// login carries out the commands by which a client logs in.
func (s *session) login(c pop3.Command) (reply string, a *attempt.Attempt) {
	name, secret := s.name, c.Arg
	switch {
	case c.Verb == "user":
		if c.Arg == "" {
			return pop3.Syntax, nil
		}
		s.name, s.named = c.Arg, true
		return pop3.OK, nil
	case c.Verb == "apop":
		var ok bool
		if name, secret, ok = strings.Cut(c.Arg, " "); !ok {
			return pop3.Syntax, nil
		}
	case !s.named:
		return "-ERR USER first", nil
	case c.Arg == "":
		return pop3.Syntax, nil
	}
	return "", &attempt.Attempt{TLS: s.tunnel != nil, UTF8: s.utf8, Name: name, Password: secret}
}

// capabilities is the answer to CAPA, RFC 2449. What it says of messages is what
// qmail-pop3d says of itself: a capability that does not change with the login has to be
// named before it, too.
func (s *session) capabilities() string {
	lines := []string{pop3.OK}
	if !s.demanding {
		lines = append(lines, "USER")
	}
	lines = append(append(lines, pop3.Capabilities...), pop3.CapabilityUTF8)
	if s.mayStartTLS() {
		lines = append(lines, "STLS")
	}
	return strings.Join(append(lines, "."), "\r\n")
}

// say sends a line to the client.
func (s *session) say(line string) error {
	_, err := s.client.Write([]byte(line + "\r\n"))
	return err
}

// byByte reads one byte at a time.
//
// Differs from qmail: what a client sends behind its password is for the program
// that takes over, and is left in the connection, so that commands may be sent
// without waiting for replies.
type byByte struct{ client channel }

func (r byByte) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r.client, b[:])
	return b[0], err
}

// Run is qmail-popnet. It is started by qmail-popup. Other processes of qmaild's are not to
// look for passwords in it.
func Run(p *prog.Process) error {
	if err := privs.Undumpable(); err != nil {
		return err
	}
	return run(p, timeout)
}

func run(p *prog.Process, timeout time.Duration) error {
	if len(p.Args) != 2 || len(p.Extra) != 2 || p.Extra[0] == nil || p.Extra[1] == nil {
		return prog.Usage("qmail-popup runs qmail-popnet")
	}
	conn, err := ucspi.NewConn(p, timeout)
	if err != nil {
		return err
	}
	control, data := p.Extra[0], p.Extra[1]
	s := &session{
		plain: conn, client: conn, keys: servertls.New(conf.Home+"/"+keywire.Path, p.Now),
		host: p.Args[0], timestamp: p.Args[1], demanding: p.Env.Get("FORCETLS") == "1",
	}
	_, s.implicit = p.Env.Lookup("POP3S")
	// Whoever started this may end at any time, and then there is nobody to log in with.
	alone := make(chan struct{})
	go func() {
		io.Copy(io.Discard, control)
		close(alone)
	}()
	done := make(chan error, 1)
	go func() { done <- p.Call(func(*prog.Process) error { return s.handOver(control) }) }()
	select {
	case err = <-done:
	case <-alone:
		return nil
	}
	if errors.Is(err, errClient) {
		return nil
	}
	if err != nil || s.tunnel == nil {
		return err
	}
	return pass(s.tunnel, data, alone)
}

// handOver gives the client's attempt to log in to the other half.
func (s *session) handOver(control *os.File) error {
	a, err := s.serve()
	if err != nil {
		return err
	}
	if _, err = control.Write(a.Record()); err == nil {
		err = shut(control)
	}
	if err != nil {
		return prog.Fail("unable to write to qmail-popup", err)
	}
	return nil
}
