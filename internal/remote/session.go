package remote

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"quail/internal/dottext"
	"quail/internal/mailaddr"
)

// Classes of replies. What is below failure is success, whatever it means, for
// every command but the greeting and HELO, which need their very number.
const (
	greeted   = 220
	done      = 250
	failure   = 400
	permanent = 500
)

// batch is how many RCPT commands are sent before the replies are read. It is
// small enough for the replies to fit the buffers between the hosts: else both
// would wait for the other one to read.
const batch = 50

// session is an SMTP connection from the client's side.
//
// Each method returns an error only for the connection itself: then nothing more
// can be said to the server. Everything else is a verdict.
type session struct {
	conn    net.Conn
	in      *bufio.Reader
	helo    string
	peer    string // the server's address, as reports name it
	timeout time.Duration
	now     func() time.Time

	last     reply // to the last command; empty once it stands in a report
	critical bool  // the final dot may have arrived and is not answered

	// What the server offers.
	pipelining bool
	size       bool
}

func newSession(conn net.Conn, helo string, timeout time.Duration, now func() time.Time) *session {
	s := &session{conn: conn, helo: helo, timeout: timeout, now: now}
	s.in = bufio.NewReader(s)
	s.peer = conn.RemoteAddr().String()
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		s.peer = a.AddrPort().Addr().Unmap().String()
	}
	return s
}

// Read and Write are those of the connection, each with its own time limit.
func (s *session) Read(b []byte) (int, error) {
	if err := s.conn.SetReadDeadline(s.now().Add(s.timeout)); err != nil {
		return 0, err
	}
	return s.conn.Read(b)
}

func (s *session) Write(b []byte) (int, error) {
	if err := s.conn.SetWriteDeadline(s.now().Add(s.timeout)); err != nil {
		return 0, err
	}
	return s.conn.Write(b)
}

// deliver speaks SMTP to its end. Reports about recipients go to reports.
func (s *session) deliver(m mail, reports *bytes.Buffer) verdict {
	for _, step := range []func(mail, *bytes.Buffer) (verdict, error){
		s.greet, s.envelope, s.data,
	} {
		v, err := step(m, reports)
		if err != nil {
			return s.died()
		}
		if v != "" {
			return v
		}
	}
	return s.accepted()
}

// died is the verdict when the connection is gone.
func (s *session) died() verdict {
	v := "ZConnected to " + s.peer + " but connection died. "
	if s.critical {
		v += "Possible duplicate! "
	}
	return verdict(v + "(#4.4.2)\n")
}

// accepted is the verdict when the final dot was answered well.
func (s *session) accepted() verdict { return s.quit("K", " accepted message") }

// quit ends the session in order, after a success or a refusal, and names the
// server between before and after. The reply to QUIT is not waited for.
//
// Differs from qmail: if the server is gone already the verdict stands. A message
// that was accepted is not sent again because its server hung up first.
func (s *session) quit(before, after string) verdict {
	s.send("QUIT\r\n")
	return verdict(before + s.peer + after + ".\n" + s.said())
}

// said takes the text of the last reply for a report, once.
func (s *session) said() string {
	text := s.last.said()
	s.last = reply{}
	return text
}

// send writes commands, all in one write.
func (s *session) send(commands string) error {
	_, err := io.WriteString(s, commands)
	return err
}

// answer reads the next reply.
func (s *session) answer() (code uint64, err error) {
	s.last, err = readReply(s.in)
	return s.last.code, err
}

// ask sends one command and reads its reply.
func (s *session) ask(command string) (code uint64, err error) {
	if err := s.send(command); err != nil {
		return 0, err
	}
	return s.answer()
}

// greet reads the greeting and says hello.
//
// Differs from qmail: EHLO comes first, HELO only where EHLO is refused.
func (s *session) greet(mail, *bytes.Buffer) (verdict, error) {
	code, err := s.answer()
	if err != nil {
		return "", err
	}
	// A 5xx here is about the server, not about the mail, so it is temporary.
	if code != greeted {
		return s.quit("ZConnected to ", " but greeting failed"), nil
	}
	if code, err = s.ask("EHLO " + s.helo + "\r\n"); err != nil {
		return "", err
	}
	if code == done {
		s.pipelining = s.last.offers("pipelining")
		s.size = s.last.offers("size")
		return "", nil
	}
	if code, err = s.ask("HELO " + s.helo + "\r\n"); err != nil {
		return "", err
	}
	if code != done {
		return s.quit("ZConnected to ", " but my name was rejected"), nil
	}
	return "", nil
}

// envelope sends the sender and the recipients and reports on each recipient.
//
// Differs from qmail: where the server takes it (RFC 2920), commands are sent in
// groups. DATA is never among them, so a server can never take an empty text for
// a message whose recipients it has all refused.
func (s *session) envelope(m mail, reports *bytes.Buffer) (verdict, error) {
	mailFrom := "MAIL FROM:<" + path(m.sender) + ">"
	if size := m.size(); s.size && size >= 0 {
		mailFrom += " SIZE=" + strconv.FormatInt(size, 10)
	}
	group := []string{mailFrom + "\r\n"}
	hasMail := true
	accepted := false
	for i, recipient := range m.recipients {
		group = append(group, "RCPT TO:<"+path(recipient)+">\r\n")
		if s.pipelining && len(group) < batch && i+1 < len(m.recipients) {
			continue
		}
		v, err := s.commands(group, hasMail, func() { accepted = s.report(reports) || accepted })
		if v != "" || err != nil {
			return v, err
		}
		group, hasMail = nil, false
	}
	if !accepted {
		return s.quit("DGiving up on ", ""), nil
	}
	return "", nil
}

// commands sends a group of commands, the first one being MAIL if hasMail is set,
// and calls rcpt after the reply to each of the others.
func (s *session) commands(group []string, hasMail bool, rcpt func()) (verdict, error) {
	if s.pipelining {
		if err := s.send(strings.Join(group, "")); err != nil {
			return "", err
		}
	}
	for i, command := range group {
		if !s.pipelining {
			if err := s.send(command); err != nil {
				return "", err
			}
		}
		code, err := s.answer()
		if err != nil {
			return "", err
		}
		if !hasMail || i > 0 {
			rcpt()
		} else if code >= failure {
			return s.quit(letter(code)+"Connected to ", " but sender was rejected"), nil
		}
	}
	return "", nil
}

// report writes what the last reply means to one recipient.
func (s *session) report(reports *bytes.Buffer) (accepted bool) {
	code := s.last.code
	switch {
	case code < failure:
		reports.WriteString("r\x00")
		return true
	case code < permanent:
		reports.WriteString("s")
	default:
		reports.WriteString("h")
	}
	reports.WriteString(s.peer + " does not like recipient.\n" + s.said() + "\x00")
	return false
}

// data sends the message.
func (s *session) data(m mail, _ *bytes.Buffer) (verdict, error) {
	code, err := s.ask("DATA\r\n")
	if err != nil {
		return "", err
	}
	if code >= failure {
		return s.quit(letter(code), " failed on DATA command"), nil
	}
	if v, err := s.text(m.text); v != "" || err != nil {
		return v, err
	}
	code, err = s.answer()
	if err != nil {
		return "", err
	}
	s.critical = false
	if code >= failure {
		return s.quit(letter(code), " failed after I sent the message"), nil
	}
	return "", nil
}

// text sends the message and the final dot. If the message cannot be read to the
// end of a line, the connection has to be dropped without that dot.
func (s *session) text(message io.Reader) (verdict, error) {
	const chunk = 16 << 10
	out := bufio.NewWriterSize(s, 2*chunk)
	encoder := dottext.NewEncoder(out)
	buf := make([]byte, chunk)
	for {
		n, err := message.Read(buf)
		if _, err := encoder.Write(buf[:n]); err != nil {
			return "", err
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return noMessage, nil
		}
	}
	s.critical = true
	if err := encoder.Close(); errors.Is(err, dottext.ErrPartialLine) {
		return partialLine, nil
	}
	return "", out.Flush() // which has the error of every write before it
}

// letter is the verdict that a refusal of the message stands for.
func letter(code uint64) string {
	if code >= permanent {
		return "D"
	}
	return "Z"
}

// path writes an address as it stands between < and >. One without @ goes out as
// it is, so that the empty sender stays empty.
func path(address string) string {
	if !strings.Contains(address, "@") {
		return address
	}
	return mailaddr.Quote(address)
}
