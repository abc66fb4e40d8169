package rblsmtpd

import (
	"fmt"
	"io"
	"strings"
	"time"

	"quail/internal/ascii"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

// What the server that takes no mail calls itself.
const (
	greeting = "220 rblsmtpd.local\r\n"
	agree    = "250 rblsmtpd.local\r\n"
	farewell = "221 rblsmtpd.local\r\n"
)

// refuse talks to a client that is not to send mail, for timeout in all. Whether the
// client hears it out is its own business: the status is 0.
func refuse(p *prog.Process, reply string, timeout time.Duration) error {
	fmt.Fprintf(p.Stderr, "rblsmtpd: %s pid %d: %s\n", ascii.Printable(p.Env.Get("TCPREMOTEIP"), '?'), p.PID, reply)
	reply += "\r\n"
	if timeout == 0 {
		io.WriteString(p.Stdout, reply)
		return nil
	}
	c, err := ucspi.NewConn(p, timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	c.Limit(timeout)
	converse(c, reply)
	return nil
}

// converse greets the client and answers its commands until QUIT, the end, or the limit.
func converse(c io.ReadWriter, reply string) {
	if _, err := io.WriteString(c, greeting); err != nil {
		return
	}
	var s session
	in := make([]byte, 512)
	for !s.over {
		n, err := c.Read(in)
		if err != nil {
			return
		}
		if out := s.answer(in[:n], reply); len(out) > 0 {
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}
}

// session is what has to be remembered between two pieces of what the client sends: the
// beginning of a command.
type session struct {
	verb [6]byte // one byte more than a verb and its CR have
	n    int
	over bool
}

// answer takes the next bytes from the client and returns the answers to the commands
// that end in them, up to QUIT.
func (s *session) answer(in []byte, reply string) (out []byte) {
	for _, b := range in {
		if b != '\n' {
			if s.n < len(s.verb) {
				s.verb[s.n] = b
				s.n++
			}
			continue
		}
		verb := string(s.verb[:s.n])
		s.n = 0
		if len(verb) < len(s.verb) { // else there is more, which may be the CR
			verb = strings.TrimSuffix(verb, "\r")
		}
		verb, _, _ = strings.Cut(verb, " ")
		switch strings.ToLower(verb) {
		case "quit":
			s.over = true
			return append(out, farewell...)
		case "helo", "ehlo", "mail", "rset", "noop":
			out = append(out, agree...)
		default:
			out = append(out, reply...)
		}
	}
	return out
}
