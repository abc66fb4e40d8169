// Package pop3d gives one user's Maildir to a POP3 client that has logged in. See spec
// "Receiving mail", section 11, and RFC 1939.
//
// It runs as that user, and can do to the Maildir what the client could ask for
// anyway. Messages are strangers', may be of any size, and vanish or move at any time,
// since other readers work in the Maildir too and nothing is locked. What a message
// was listed as counts for the whole session.
package pop3d

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"quail/internal/maildir"
	"quail/internal/pop3"
	"quail/internal/prog"
	"quail/internal/surrogate"
	"quail/internal/ucspi"
)

// timeout is how long a client may take for each thing that it sends or takes.
const timeout = 20 * time.Minute

// Run is qmail-pop3d. A session ends with status 0 however it ends.
func Run(p *prog.Process) error { return run(p, timeout) }

func run(p *prog.Process, timeout time.Duration) error {
	if p.UID == 0 {
		fmt.Fprintln(p.Stderr, "qmail-pop3d invoked as uid 0, terminating")
		return prog.Exit(1)
	}
	conn, err := ucspi.NewConn(p, timeout)
	if err != nil {
		return err
	}
	s := &session{p: p, conn: conn, out: bufio.NewWriterSize(conn, 8<<10), utf8: p.Env.Get("POP3UTF8")}
	s.in = bufio.NewReader(prompt{s})
	if complaint := s.open(); complaint != "" {
		s.reply(complaint)
	} else {
		s.reply(pop3.OK)
		s.serve()
	}
	s.out.Flush() // to a client that may have gone
	return nil
}

// session is one client that has logged in.
type session struct {
	p    *prog.Process
	conn *ucspi.Conn
	in   *bufio.Reader
	out  *bufio.Writer // keeps the error of a write, for the next Flush

	utf8     string // on or off, as the client has said, or "" where nobody asked
	dir      string
	messages []maildir.Entry
	deleted  []bool
	last     int // the highest number deleted so far, 0 without one
}

// prompt reads from the client, who may be waiting for replies.
type prompt struct{ s *session }

func (r prompt) Read(b []byte) (int, error) {
	if err := r.s.out.Flush(); err != nil {
		return 0, err
	}
	return r.s.conn.Read(b)
}

// open lists the Maildir, and returns what to tell the client if it cannot.
func (s *session) open() (complaint string) {
	if len(s.p.Args) == 0 || s.p.Args[0] == "" {
		return "-ERR this user has no $HOME/Maildir"
	}
	s.dir = s.p.Path(s.p.Args[0])
	// "/." asks for what chdir does: a directory, and permission to search it.
	if _, err := os.Stat(s.dir + "/."); err != nil {
		return "-ERR this user has no $HOME/Maildir"
	}
	now := s.p.Now()
	maildir.Clean(s.dir, now)
	var err error
	if s.messages, err = maildir.Scan(s.dir, now); err != nil {
		return "-ERR unable to scan $HOME/Maildir"
	}
	s.deleted = make([]bool, len(s.messages))
	return ""
}

// serve takes commands until the client has gone, or has said that it will. Only
// QUIT changes anything on disk.
func (s *session) serve() {
	for {
		c, err := pop3.ReadCommand(s.in)
		if err != nil {
			if errors.Is(err, pop3.ErrLong) {
				s.reply(pop3.NoMemory)
			}
			return
		}
		if !s.command(c) {
			return
		}
	}
}

// command carries a command out and reports whether there may be another.
func (s *session) command(c pop3.Command) (goOn bool) {
	switch c.Verb {
	case "stat":
		s.stat()
	case "list":
		s.list(c.Arg, func(i int) string { return strconv.FormatInt(s.messages[i].Size, 10) })
	case "uidl":
		s.list(c.Arg, func(i int) string { return s.messages[i].ID() })
	case "retr", "top":
		return s.send(c.Arg)
	case "dele":
		s.delete(c.Arg)
	case "last":
		s.reply(pop3.OK + strconv.Itoa(s.last))
	case "rset":
		clear(s.deleted)
		s.last = 0
		s.reply(pop3.OK)
	case "noop":
		s.reply(pop3.OK)
	case "capa":
		// Differs from qmail, which knows no CAPA.
		s.capabilities()
	case "quit":
		s.quit()
		return false
	default:
		s.reply("-ERR unimplemented")
	}
	return true
}

// capabilities answers CAPA.
func (s *session) capabilities() {
	s.reply(pop3.OK, "USER")
	s.reply(pop3.Capabilities...)
	if s.utf8 != "" {
		s.reply(pop3.CapabilityUTF8)
	}
	s.reply(".")
}

// reply says lines to the client.
func (s *session) reply(lines ...string) {
	for _, line := range lines {
		s.out.WriteString(line)
		s.out.WriteString("\r\n")
	}
}

// stat says how many messages there were, and how large those are that are left.
func (s *session) stat() {
	var size int64
	for i, e := range s.messages {
		if !s.deleted[i] {
			size += e.Size
		}
	}
	s.reply(pop3.OK + strconv.Itoa(len(s.messages)) + " " + strconv.FormatInt(size, 10))
}

// list answers LIST and UIDL: what about says of one message, or of all.
func (s *session) list(arg string, about func(i int) string) {
	line := func(i int) string { return strconv.Itoa(i+1) + " " + about(i) }
	if arg != "" {
		if i, ok := s.find(arg); ok {
			s.reply(pop3.OK + line(i))
		}
		return
	}
	s.reply(pop3.OK)
	for i := range s.messages {
		if !s.deleted[i] {
			s.reply(line(i))
		}
	}
	s.reply(".")
}

// find returns the message whose number arg begins with, unless the client has been
// told why there is none.
func (s *session) find(arg string) (i int, ok bool) {
	n, rest := number(arg)
	switch {
	case len(rest) == len(arg):
		s.reply(pop3.Syntax)
	case n == 0:
		s.reply("-ERR messages are counted from 1")
	case n > uint64(len(s.messages)):
		s.reply("-ERR not that many messages")
	case s.deleted[n-1]:
		s.reply("-ERR already deleted")
	default:
		return int(n - 1), true
	}
	return 0, false
}

// number reads the digits that arg begins with. A number too large to be told is the
// largest.
//
// Differs from qmail, where such a number begins again at 0: DELE with the right one of
// 20 digits deletes message 1.
func number(arg string) (n uint64, rest string) {
	end := 0
	for end < len(arg) && '0' <= arg[end] && arg[end] <= '9' {
		end++
	}
	n, _ = strconv.ParseUint(arg[:end], 10, 64) // on overflow it is the largest
	return n, arg[end:]
}

// send answers RETR and TOP, which are the same: after the number of the message there
// may be one of lines. A text that breaks off ends the session, so that the client
// cannot take it for a whole message.
func (s *session) send(arg string) (goOn bool) {
	i, ok := s.find(arg)
	if !ok {
		return true
	}
	_, rest := number(arg)
	lines := pop3.All
	if rest = strings.TrimLeft(rest, " "); rest != "" && '0' <= rest[0] && rest[0] <= '9' {
		lines, _ = number(rest)
	}
	f, err := maildir.Open(s.dir, s.messages[i])
	if err != nil {
		s.reply("-ERR unable to open that message")
		return true
	}
	defer f.Close()
	s.reply(pop3.OK)
	var message io.Reader = f
	if s.utf8 == "off" {
		// Differs from qmail, which knows no UTF-8 in headers.
		message = surrogate.NewReader(f)
	}
	return pop3.Copy(s.out, message, lines) == nil
}

func (s *session) delete(arg string) {
	i, ok := s.find(arg)
	if !ok {
		return
	}
	s.deleted[i] = true
	s.last = max(s.last, i+1)
	s.reply(pop3.OK)
}

// quit removes what the client has deleted, and marks the rest as seen.
func (s *session) quit() {
	for i, e := range s.messages {
		if !s.deleted[i] {
			maildir.See(s.dir, e)
			continue
		}
		if err := syscall.Unlink(s.dir + "/" + e.Name); err != nil {
			s.reply("-ERR unable to unlink all deleted messages")
		}
	}
	s.reply(pop3.OK)
}
