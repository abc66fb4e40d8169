package remote

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"quail/internal/dottext"
	"quail/internal/nexthop"
)

// Classes of replies. What is below failure is success, whatever it means, for
// every command but the greeting and HELO, which need their very number.
const (
	greeted   = 220
	done      = 250
	failure   = 400
	closing   = 421
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
	conn    net.Conn // secure where there is TLS, else socket
	socket  net.Conn
	secure  *tls.Conn
	in      *bufio.Reader
	helo    string
	peer    string // the server's address, as reports name it
	timeout time.Duration
	now     func() time.Time

	last     reply // to the last command; empty once it stands in a report
	critical bool  // the final dot may have arrived and is not answered

	// What the server offers, by its last reply to EHLO.
	pipelining bool
	size       bool
	starttls   bool
	auth       []string // mechanisms

	terms terms
	note  string // for the report on success: what became of TLS, if it was tried

	// What a further transaction has to know.
	begun   time.Time      // when the connection was made
	used    int            // transactions begun
	open    bool           // the server has a sender that was not followed by a text
	leaving bool           // one of the two has had enough: there is to be no other
	broken  bool           // nothing more can be sent, not even QUIT
	target  nexthop.Target // where mail by this session goes
	timer   *time.Timer    // ends it while it is idle
	ahead   func() string  // commands of the next transaction, if there is one by now
	texts   *sync.Pool     // of textBuffers; nil where there is one text
}

func newSession(conn net.Conn, helo string, timeout time.Duration, now func() time.Time) *session {
	s := &session{conn: conn, socket: conn, helo: helo, timeout: timeout, now: now, begun: now()}
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

// died is the verdict when the connection is gone.
func (s *session) died() verdict {
	v := "ZConnected to " + s.peer + " but connection died. "
	if s.critical {
		v += "Possible duplicate! "
	}
	return verdict(v + "(#4.4.2)\n")
}

// says is a verdict with the server's address in it, and what it said last.
func (s *session) says(before, after string) verdict {
	return verdict(before + s.peer + after + ".\n" + s.said())
}

// quit ends the session in order, if there is an order left to keep. The reply to
// QUIT is not waited for.
//
// Differs from qmail: if the server is gone already the verdict stands. A message
// that was accepted is not sent again because its server hung up first.
func (s *session) quit() {
	if s.broken || s.send("QUIT\r\n") != nil {
		s.socket.Close() // TLS would have a last word too, and wait for it
		return
	}
	s.conn.Close()
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
	if err == nil && s.last.code == closing {
		s.leaving = true
	}
	return s.last.code, err
}

// ask sends one command and reads its reply.
func (s *session) ask(command string) (code uint64, err error) {
	if err := s.send(command); err != nil {
		return 0, err
	}
	return s.answer()
}

// greet begins the session up to where mail may go by it. The error may be a
// tlsFailure.
//
// Differs from qmail: mail goes by TLS where it can, and behind a name and password
// where it is to.
func (s *session) greet() (verdict, error) {
	if s.terms.tls == nexthop.Implicit {
		if err := s.handshake(); err != nil {
			return "", err
		}
	}
	for _, step := range []func() (verdict, error){s.welcome, s.startTLS, s.login} {
		if v, err := step(); v != "" || err != nil {
			return v, err
		}
	}
	return "", nil
}

// welcome reads the greeting and says hello.
func (s *session) welcome() (verdict, error) {
	code, err := s.answer()
	if err != nil {
		return "", err
	}
	// A 5xx here is about the server, not about the mail, so it is temporary.
	if code != greeted {
		return s.says("ZConnected to ", " but greeting failed"), nil
	}
	return s.hello()
}

// hello asks what the server offers; what it has offered before does not count.
//
// Differs from qmail: EHLO comes first, HELO only where EHLO is refused.
func (s *session) hello() (verdict, error) {
	code, err := s.ask("EHLO " + s.helo + "\r\n")
	if err != nil {
		return "", err
	}
	s.pipelining, s.size, s.starttls, s.auth = false, false, false, nil
	if code == done {
		_, s.pipelining = s.last.offers("pipelining")
		_, s.size = s.last.offers("size")
		_, s.starttls = s.last.offers("starttls")
		s.auth, _ = s.last.offers("auth")
		for i, name := range s.auth {
			s.auth[i] = strings.ToUpper(name)
		}
		return "", nil
	}
	if code, err = s.ask("HELO " + s.helo + "\r\n"); err != nil {
		return "", err
	}
	if code != done {
		return s.says("ZConnected to ", " but my name was rejected"), nil
	}
	return "", nil
}

// usable reports whether the server can be expected to take another command.
func (s *session) usable() bool { return !s.broken && !s.leaving }

// errStale says that a session which has carried mail before could not carry this
// one: of which the server has not taken any notice.
var errStale = errors.New("the session had ended")

// carry takes the mails of a transaction to the server; all have a verdict then
// but those that are left for the next one. The error is nil or errStale.
func (s *session) carry(t *transaction, now func() time.Time) error {
	again := s.used > 0
	if again && !s.usable() {
		return errStale
	}
	if t.sent > 0 {
		s.open = true
	}
	s.used++
	s.now = now
	v, err := s.envelope(t, again)
	if err != nil && again && t.answered == 0 {
		s.broken = true
		return errStale
	}
	if err == nil && v == "" && t.accepted > 0 {
		v, err = s.data(t)
	}
	if err != nil {
		s.broken = true
		v = s.died()
	}
	t.end(v)
	return nil
}

// envelope sends the sender and the recipients and reports on each recipient.
//
// Differs from qmail: where the server takes it (RFC 2920), commands are sent in
// groups. DATA is never among them, so a server can never take an empty text for
// a message whose recipients it has all refused.
func (s *session) envelope(t *transaction, again bool) (verdict, error) {
	for t.answered < len(t.commands) {
		if err := s.advance(t); err != nil {
			return "", err
		}
		code, err := s.answer()
		if err != nil {
			return "", err
		}
		if t.answered == 0 && code == closing && again {
			return "", errStale
		}
		t.answered++
		if m := t.commands[t.answered-1].mail; m != nil {
			t.rcpt(m, s.peer, &s.last)
		} else if code >= failure {
			s.leaving = true // what follows it unread is not waited for
			return s.says(letter(code)+"Connected to ", " but sender was rejected"), nil
		}
	}
	return "", nil
}

// advance sends the next commands if those before are all answered.
func (s *session) advance(t *transaction) error {
	if t.answered < t.sent {
		return nil
	}
	limit := 1
	if s.pipelining {
		limit = batch
	}
	if t.sent == 0 && s.open {
		return s.restart(t, limit)
	}
	s.open = true
	return s.send(t.next(limit, s.size))
}

// restart sends the first commands to a server that still has the sender of a
// transaction without a text.
func (s *session) restart(t *transaction, limit int) error {
	group := "RSET\r\n"
	if s.pipelining {
		group += t.next(limit, s.size)
	}
	switch code, err := s.ask(group); {
	case err != nil:
		return err
	case code >= failure:
		return errStale
	case s.pipelining:
		return nil
	}
	return s.send(t.next(limit, s.size))
}

// data sends the message.
func (s *session) data(t *transaction) (verdict, error) {
	code, err := s.ask("DATA\r\n")
	if err != nil {
		return "", err
	}
	if code >= failure {
		s.leaving = true
		return s.says(letter(code), " failed on DATA command"), nil
	}
	if v, err := s.text(t.text()); v != "" || err != nil {
		s.broken = true
		return v, err
	}
	code, err = s.answer()
	if err != nil {
		return "", err
	}
	s.critical = false
	s.open = false
	if code >= failure {
		return s.says(letter(code), " failed after I sent the message"), nil
	}
	v := s.says("K", " accepted message")
	if s.note != "" && !strings.HasSuffix(string(v), "\n") {
		v += "\n" // a long reply has lost its end
	}
	return v + verdict(s.note), nil
}

// text sends the message and the final dot, a small one all at once. If the message
// cannot be read to the end of a line, the connection has to be dropped without that
// dot.
func (s *session) text(message io.Reader) (verdict, error) {
	t := s.buffers()
	if s.texts != nil {
		defer s.texts.Put(t)
	}
	t.out.Reset(s)
	encoder := dottext.NewEncoder(t.out)
	for {
		n, err := message.Read(t.in)
		if _, err := encoder.Write(t.in[:n]); err != nil {
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
	if s.ahead != nil {
		t.out.WriteString(s.ahead())
	}
	return "", t.out.Flush() // which has the error of every write before it
}

// textBuffers is what sending a text needs.
type textBuffers struct {
	in  []byte
	out *bufio.Writer
}

func (s *session) buffers() *textBuffers {
	if s.texts != nil {
		if t, ok := s.texts.Get().(*textBuffers); ok {
			return t
		}
	}
	const chunk = 16 << 10
	return &textBuffers{make([]byte, chunk), bufio.NewWriterSize(nil, 2*chunk)}
}

// letter is the verdict that a refusal of the message stands for.
func letter(code uint64) string {
	if code >= permanent {
		return "D"
	}
	return "Z"
}
