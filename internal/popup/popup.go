// Package popup greets a POP3 client, takes its name and password and has another
// program check them, which becomes the POP3 server if they are good. See spec
// "Receiving mail", section 9.
//
// It usually runs as root and is the first to hear what strangers say. The session,
// in this file, turns a few bounded lines into one attempt and touches nothing but
// the connection; only login.go runs a program, and it parses nothing.
package popup

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"quail/internal/checkpw"
	"quail/internal/pop3"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

// timeout is how long a client may take for each thing that it sends or takes.
const timeout = 20 * time.Minute

// ended ends the program. Its status is 1 whatever happened, also after a session
// that went well.
var ended = prog.Exit(1)

// Run is qmail-popup.
func Run(p *prog.Process) error { return run(p, timeout) }

func run(p *prog.Process, timeout time.Duration) error {
	conn, err := ucspi.NewConn(p, timeout)
	if err != nil {
		return err
	}
	if len(p.Args) < 2 {
		say(conn, "-ERR usage: popup hostname subprogram")
		return ended
	}
	s := session{
		conn:      conn,
		timestamp: "<" + strconv.Itoa(p.PID) + "." + strconv.FormatInt(p.Now().Unix(), 10) + "@" + p.Args[0] + ">",
	}
	attempt := s.serve()
	if attempt == nil {
		return ended
	}
	if refusal := login(p, p.Args[1:], attempt); refusal != "" {
		say(conn, refusal)
	}
	return ended
}

// session is one client that has not logged in.
type session struct {
	conn      *ucspi.Conn
	timestamp string // what the client was greeted with
	name      string
	named     bool // there was a USER
}

// serve talks to the client until it wants to log in, and returns the record of that;
// nil if it never does.
func (s *session) serve() []byte {
	if say(s.conn, pop3.OK+s.timestamp) != nil {
		return nil
	}
	for {
		c, err := pop3.ReadCommand(byByte{s.conn})
		if err != nil {
			if errors.Is(err, pop3.ErrLong) {
				say(s.conn, pop3.NoMemory)
			}
			return nil
		}
		reply, attempt := s.command(c)
		if attempt != nil {
			return attempt
		}
		if say(s.conn, reply) != nil || c.Verb == "quit" {
			return nil
		}
	}
}

// capabilities is the answer to CAPA, RFC 2449. What the program behind this one
// can do is its own to say.
const capabilities = pop3.OK + "\r\nUSER\r\nPIPELINING\r\n."

// command carries a command out: it is answered, or it is an attempt to log in.
func (s *session) command(c pop3.Command) (reply string, attempt []byte) {
	switch c.Verb {
	case "user":
		if c.Arg == "" {
			return pop3.Syntax, nil
		}
		s.name, s.named = c.Arg, true
		return pop3.OK, nil
	case "pass":
		if !s.named {
			return "-ERR USER first", nil
		}
		if c.Arg == "" {
			return pop3.Syntax, nil
		}
		return "", checkpw.Record(s.name, c.Arg, s.timestamp)
	case "apop":
		name, digest, ok := strings.Cut(c.Arg, " ")
		if !ok {
			return pop3.Syntax, nil
		}
		return "", checkpw.Record(name, digest, s.timestamp)
	case "noop", "quit":
		return pop3.OK, nil
	case "capa":
		// Differs from qmail, which knows no CAPA.
		return capabilities, nil
	}
	return "-ERR authorization first", nil
}

// say sends a line to the client.
func say(conn *ucspi.Conn, line string) error {
	_, err := conn.Write([]byte(line + "\r\n"))
	return err
}

// byByte reads one byte at a time.
//
// Differs from qmail: what a client sends behind its password is for the program
// that takes over, and is left in the connection, so that commands may be sent
// without waiting for replies.
type byByte struct{ conn *ucspi.Conn }

func (r byByte) ReadByte() (byte, error) {
	var b [1]byte
	_, err := r.conn.Read(b[:])
	return b[0], err
}
