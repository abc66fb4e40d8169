package remote

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"quail/internal/prog"
	"quail/internal/sasl"
)

// sink is a server that takes any number of sessions and remembers what was in them.
type sink struct {
	// answer replies to a command of a session; "" stands for the usual reply, and
	// one that ends in END ends the session after it.
	answer func(c *caller, command string) string
	plain  bool // offers no PIPELINING

	tls      *tls.Config // is offered if not nil
	implicit bool        // it comes first
	// trick is what the server does to a client that wants TLS: it hangs, injects
	// commands before or after the client begins, closes, forgets everybody who has once
	// asked, or has this reply.
	trick      string
	users      func(*caller) sasl.Options // of AUTH, which is offered if not nil
	mechanisms string

	port  uint16
	mu    sync.Mutex
	calls []*caller
	done  []delivered
	open  int
	most  int // sessions at once
	quits int
	early int // beginnings of transactions that came with the end of another one
}

// caller is one session.
type caller struct {
	conn   net.Conn
	secure *tls.Conn
	login  string
	number int // of the session, from 0
	heard  []string
	sender string
	to     []string
	mails  int // MAIL commands
	rcpts  int // RCPT commands in this transaction
}

// delivered is one transaction that came to its end.
type delivered struct {
	session int
	secure  bool
	login   string
	sender  string
	to      []string
	text    string
}

// end makes an answer the last one.
const end = "\x00END"

func (s *sink) start(t testing.TB) *sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = uint16(l.Addr().(*net.TCPAddr).Port)
	var sessions sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, c := range s.calls {
			c.conn.Close()
		}
		s.mu.Unlock()
		sessions.Wait()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			c := &caller{number: len(s.calls), conn: conn}
			s.calls = append(s.calls, c)
			s.open++
			s.most = max(s.most, s.open)
			s.mu.Unlock()
			sessions.Go(func() {
				s.serve(conn, c)
				conn.Close()
				s.mu.Lock()
				s.open--
				s.mu.Unlock()
			})
		}
	}()
	return s
}

func (s *sink) serve(conn net.Conn, c *caller) {
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	in := bufio.NewReader(conn)
	out := bufio.NewWriter(conn)
	if s.implicit && !s.encrypt(c, in, out) {
		return
	}
	say := func(text string) bool {
		text, last := strings.CutSuffix(text, end)
		out.WriteString(text)
		if in.Buffered() == 0 || last {
			out.Flush()
		}
		return !last
	}
	if !say(s.reply(c, "")) {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if line == "STARTTLS\r\n" && s.tls != nil && c.secure == nil {
			s.reply(c, "STARTTLS")
			if !s.startTLS(c, in, out) {
				return
			}
			continue
		}
		if name, ok := strings.CutPrefix(line, "AUTH "); ok && s.users != nil {
			if !s.logIn(c, name, in, say) {
				return
			}
			continue
		}
		answer := s.reply(c, strings.TrimSuffix(line, "\r\n"))
		if !say(answer) {
			return
		}
		if line != "DATA\r\n" || answer[0] != '3' {
			continue
		}
		var text strings.Builder
		for line := ""; line != ".\r\n"; text.WriteString(line) {
			if line, err = in.ReadString('\n'); err != nil {
				return
			}
		}
		s.mu.Lock()
		s.done = append(s.done, delivered{c.number, c.secure != nil, c.login, c.sender, c.to, text.String()})
		if in.Buffered() > 0 {
			s.early++
		}
		s.mu.Unlock()
		c.sender, c.to, c.rcpts = "", nil, 0
		if !say(s.reply(c, ".")) {
			return
		}
	}
}

// startTLS answers STARTTLS. It is false at the end of the session.
func (s *sink) startTLS(c *caller, in *bufio.Reader, out *bufio.Writer) bool {
	refused := s.trick != "" && s.trick[0] == '4'
	switch {
	case refused:
		out.WriteString(s.trick + "\r\n")
		return out.Flush() == nil && s.trick[:3] != "421"
	case s.trick == "close":
		return false
	case s.trick == "inject":
		out.WriteString("220 go\r\n250-evil\r\n250 PIPELINING\r\n")
	default:
		out.WriteString("220 go\r\n")
	}
	out.Flush()
	switch s.trick {
	case "hang":
		io.Copy(io.Discard, in)
		return false
	case "inject late":
		in.Peek(1)
		out.WriteString("250-evil\r\n250 PIPELINING\r\n")
		out.Flush()
	}
	return s.encrypt(c, in, out) && s.trick != "forget"
}

// encrypt begins TLS.
func (s *sink) encrypt(c *caller, in *bufio.Reader, out *bufio.Writer) bool {
	conn := tls.Server(c.conn, s.tls)
	if conn.Handshake() != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.secure = conn
	if !s.implicit {
		c.heard = append(c.heard, "TLS")
	}
	in.Reset(conn)
	out.Reset(conn)
	return true
}

// logIn answers AUTH. It is false at the end of the session.
func (s *sink) logIn(c *caller, command string, in *bufio.Reader, say func(string) bool) bool {
	name, initial, given := strings.Cut(strings.TrimSpace(command), " ")
	s.reply(c, "AUTH "+name)
	o := s.users(c)
	exchange, err := sasl.NewServer(name, s, o)
	if err != nil {
		return say("504 no such mechanism\r\n")
	}
	message := []byte(nil)
	if given {
		if message, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(initial, "=")); err != nil {
			return say("501 no base64\r\n")
		}
	}
	for {
		challenge, done, err := exchange.Next(message)
		if err != nil {
			return say("535 wrong\r\n")
		}
		if done && challenge == nil {
			c.login = exchange.Login()
			return say("235 welcome\r\n")
		}
		say("334 " + base64.StdEncoding.EncodeToString(challenge) + "\r\n")
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if done {
			c.login = exchange.Login()
			return say("235 welcome\r\n")
		}
		if line == "*\r\n" {
			return say("501 cancelled\r\n")
		}
		if message, err = base64.StdEncoding.DecodeString(strings.TrimSpace(line)); err != nil {
			return say("501 no base64\r\n")
		}
	}
}

// reply is what the server answers to a command, "" being the connection.
func (s *sink) reply(c *caller, command string) string {
	verb, _, _ := strings.Cut(command, ":")
	verb, _, _ = strings.Cut(verb, " ")
	inside := ""
	if _, after, ok := strings.Cut(command, "<"); ok {
		inside, _, _ = strings.Cut(after, ">")
	}
	s.mu.Lock()
	c.heard = append(c.heard, command)
	s.mu.Unlock()
	switch verb {
	case "MAIL":
		c.mails++
	case "RCPT":
		c.rcpts++
	case "QUIT":
		s.mu.Lock()
		s.quits++
		s.mu.Unlock()
	}
	if s.answer != nil {
		if a := s.answer(c, command); a != "" {
			if verb == "RCPT" && a[0] == '2' {
				c.to = append(c.to, inside)
			}
			return a
		}
	}
	switch verb {
	case "":
		return "220 hi\r\n"
	case "EHLO":
		offers := "250-me\r\n"
		if s.tls != nil && c.secure == nil {
			offers += "250-STARTTLS\r\n"
		}
		if s.users != nil {
			offers += "250-AUTH " + s.mechanisms + "\r\n"
		}
		if s.plain {
			return offers + "250 HELP\r\n"
		}
		return offers + "250 PIPELINING\r\n"
	case "HELO":
		return "250 me\r\n"
	case "MAIL":
		if c.sender != "" || c.to != nil {
			return "503 nested\r\n"
		}
		c.sender = "<" + inside + ">"
		return "250 sender\r\n"
	case "RCPT":
		if c.sender == "" {
			return "503 no sender\r\n"
		}
		c.to = append(c.to, inside)
		return "250 recipient\r\n"
	case "RSET":
		c.sender, c.to, c.rcpts = "", nil, 0
		return "250 reset\r\n"
	case "DATA":
		if len(c.to) == 0 {
			return "503 nobody\r\n"
		}
		return "354 go\r\n"
	case ".":
		return "250 ok\r\n"
	case "QUIT":
		return "221 bye\r\n" + end
	}
	return "502 what?\r\n"
}

// keeping is a Remote for many jobs, all of which go to the sink.
func (s *sink) keeping(t testing.TB, controls map[string]string) *Remote {
	t.Helper()
	all := map[string]string{"smtproutes": fmt.Sprintf(":127.0.0.1:%d\n", s.port), "timeoutremote": "5\n"}
	for name, contents := range controls {
		all[name] = contents
	}
	home(t, all)
	r := nowhere()
	r.Keep = new(Keep)
	return r
}

// errand is one job among many.
type errand struct{ host, sender, recipient string }

// deliver has all errands done at once, each with its own view of one message file,
// and returns what each reports.
func deliver(t testing.TB, r *Remote, message string, errands ...errand) []string {
	t.Helper()
	p, _ := job(t, message)
	reports := make([]string, len(errands))
	var all sync.WaitGroup
	for i, e := range errands {
		all.Go(func() { reports[i] = perform(t, r, p.Stdin.Name(), i, e) })
	}
	all.Wait()
	return reports
}

// sessions is how many there have been.
func (s *sink) sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// said is all commands of a session.
func (s *sink) said(session int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.calls[session].heard, "|")
}

// delivered is what came to the sink so far.
func (s *sink) delivered() []delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]delivered(nil), s.done...)
}

// perform does one errand with the message of that file.
func perform(t testing.TB, r *Remote, file string, number int, e errand) string {
	stdin, err := os.Open(file)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer stdin.Close()
	output, stdout, err := os.Pipe()
	if err != nil {
		t.Error(err)
		return ""
	}
	defer output.Close()
	p := &prog.Process{
		Name: "qmail-remote", Args: []string{e.host, e.sender, e.recipient}, Dir: "/",
		Stdin: stdin, Stdout: stdout, Stderr: os.Stderr,
		PID: number<<22 | 4711, Warm: true, Now: time.Now,
	}
	status := p.Do(r.Deliver)
	stdout.Close()
	report, err := io.ReadAll(output)
	if err != nil || status != 0 {
		t.Errorf("%v: status %d, %v", e, status, err)
	}
	return string(report)
}
