package authd

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"quail/internal/authwire"
	"quail/internal/localsocket"
	"quail/internal/prog"
	"quail/internal/sasl"
)

// Patience with Dovecot.
const (
	waitDovecot = 60 * time.Second // for an answer
	waitGreet   = 5 * time.Second  // for what it says at first
	keepList    = 10 * time.Second // a list of mechanisms is not asked for again
)

// maxLine is how long a line of Dovecot's may be; it has 16384 for its own.
const maxLine = 32768

// maxLines bounds what it says before DONE.
const maxLines = 200

// errDovecot is what is said about an answer that is none.
var errDovecot = errors.New("an answer that is not in the protocol")

// dovecot is Dovecot's authentication service, spoken to by its client protocol (version
// 1.1 and later). Each exchange has a connection of its own, so that whatever becomes of
// one is nothing to another, and a service that was started anew is simply called again.
// The mechanisms are those that it has and package sasl knows. Those bound to a TLS
// connection are not among them, since that cannot be told to it.
type dovecot struct {
	p    *prog.Process
	path string

	mu    sync.Mutex
	calls uint32
	names []string
	until time.Time // when names are to be asked for again
}

func newDovecot(p *prog.Process, path string) *dovecot { return &dovecot{p: p, path: path} }

func (d *dovecot) mechanisms() ([]string, error) {
	d.mu.Lock()
	names, fresh := d.names, d.p.Now().Before(d.until)
	d.mu.Unlock()
	if fresh {
		return names, nil
	}
	c, err := d.call()
	if err != nil {
		return nil, err
	}
	c.conn.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names, d.until = c.names, d.p.Now().Add(keepList)
	return d.names, nil
}

// begin calls Dovecot for an exchange. Nothing is said before the client's response is
// there.
func (d *dovecot) begin(mechanism string, r authwire.Request, y *try) (exchange, error) {
	c, err := d.call()
	if err != nil {
		return nil, err
	}
	c.try = y
	c.opening = []string{mechanism, "service=" + escape(r.Service), "nologin", "no-penalty", "final-resp-ok"}
	if r.TLS {
		c.opening = append(c.opening, "secured")
	}
	if r.Local != "" {
		c.opening = append(c.opening, "lip="+escape(r.Local))
	}
	if r.IP != "" {
		c.opening = append(c.opening, "rip="+escape(r.IP))
	}
	return c, nil
}

// call connects to Dovecot, to the point where an exchange may begin.
func (d *dovecot) call() (c *dovecotExchange, err error) {
	conn, err := localsocket.Dial(d.path, true)
	if err != nil {
		return nil, fmt.Errorf("call Dovecot at %s: %w", d.path, err)
	}
	d.mu.Lock()
	d.calls++
	// It takes this for the process that calls, and wants a number that no other has.
	id := 1<<31 | uint32(d.p.PID&0x7fff)<<16 | d.calls&0xffff
	d.mu.Unlock()
	c = &dovecotExchange{d: d, conn: conn, in: bufio.NewReaderSize(conn, maxLine)}
	conn.SetDeadline(d.p.Now().Add(waitGreet))
	_, err = fmt.Fprintf(conn, "VERSION\t1\t1\nCPID\t%d\n", id)
	if err == nil {
		c.names, err = greeting(c.in)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("call Dovecot at %s: %w", d.path, err)
	}
	return c, nil
}

// greeting reads what Dovecot says at first and returns the mechanisms that both have.
func greeting(in *bufio.Reader) (names []string, err error) {
	var theirs []string
	for range maxLines {
		verb, args, err := readLine(in)
		switch {
		case err != nil:
			return nil, err
		case verb == "VERSION" && (len(args) < 1 || args[0] != "1"):
			return nil, errors.New("it speaks another version of the protocol")
		case verb == "MECH" && len(args) > 0:
			theirs = append(theirs, strings.ToUpper(args[0]))
		case verb == "DONE":
			for _, name := range sasl.Mechanisms() {
				if slices.Contains(theirs, name) && !strings.HasSuffix(name, "-PLUS") {
					names = append(names, name)
				}
			}
			return names, nil
		}
	}
	return nil, errDovecot
}

// readLine reads a line and divides it.
func readLine(in *bufio.Reader) (verb string, args []string, err error) {
	line, err := in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return "", nil, errDovecot
	}
	if err != nil {
		return "", nil, err
	}
	fields := strings.Split(string(line[:len(line)-1]), "\t")
	for i := 2; i < len(fields); i++ { // neither a verb nor a number needs that
		fields[i] = unescape(fields[i])
	}
	return fields[0], fields[1:], nil
}

// escapes are the bytes that cannot stand in a field, each with the letter that stands
// for it behind a \001.
var escapes = map[byte]byte{'0': 0, '1': 1, 't': '\t', 'r': '\r', 'n': '\n'}

func escape(s string) string {
	return strings.NewReplacer("\x00", "\x010", "\x01", "\x011", "\t", "\x01t", "\r", "\x01r", "\n", "\x01n").Replace(s)
}

func unescape(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == 1 && i+1 < len(s) {
			i++
			c = s[i]
			if plain, ok := escapes[c]; ok {
				c = plain
			}
		}
		b = append(b, c)
	}
	return string(b)
}

// dovecotExchange is an exchange that Dovecot takes part in.
type dovecotExchange struct {
	d       *dovecot
	conn    *os.File
	in      *bufio.Reader
	names   []string
	opening []string // of the line that begins it; nil once that has been said
	open    bool     // it has begun and not ended
	try     *try
	name    string
	login   string
}

func (c *dovecotExchange) user() string  { return c.name }
func (c *dovecotExchange) Login() string { return c.login }

// close tells Dovecot, which would otherwise wonder in its log.
func (c *dovecotExchange) close() {
	if c.open {
		c.conn.SetDeadline(c.d.p.Now().Add(waitGreet))
		c.conn.WriteString("CANCEL\t" + requestID + "\n")
	}
	c.conn.Close()
}

// requestID is that of the one exchange of a connection.
const requestID = "1"

// Next passes a response on and returns Dovecot's answer. Any response may be the one that
// Dovecot decides about, so for each of them a turn is waited for; and nobody knows for
// whom.
func (c *dovecotExchange) Next(response []byte) (challenge []byte, done bool, err error) {
	if err := c.try.enter(""); err != nil {
		return nil, false, err
	}
	text := base64.StdEncoding.EncodeToString(response)
	line := "CONT\t" + requestID + "\t" + text + "\n"
	if c.opening != nil {
		line = "AUTH\t" + requestID + "\t" + strings.Join(c.opening, "\t")
		if response != nil {
			line += "\tresp=" + text
		}
		line += "\n"
		c.opening = nil
	}
	c.conn.SetDeadline(c.d.p.Now().Add(waitDovecot))
	if _, err = c.conn.WriteString(line); err != nil {
		return nil, false, fmt.Errorf("ask Dovecot: %w", err)
	}
	verb, args, err := readLine(c.in)
	if err == nil {
		challenge, done, err = c.answer(verb, args)
	}
	c.open = err == nil && !done
	if err != nil && err != sasl.ErrWrong {
		err = fmt.Errorf("ask Dovecot: %w", err)
	}
	return challenge, done, err
}

// answer understands one line. Only an OK with a user is a yes.
func (c *dovecotExchange) answer(verb string, args []string) (challenge []byte, done bool, err error) {
	if len(args) < 1 || args[0] != requestID {
		return nil, false, errDovecot
	}
	named := map[string]string{}
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		named[key] = value
	}
	switch verb {
	case "CONT":
		if len(args) != 2 {
			return nil, false, errDovecot
		}
		challenge, err = base64.StdEncoding.DecodeString(args[1])
		if err != nil || len(challenge) > authwire.MaxData {
			return nil, false, errDovecot
		}
		return challenge, false, nil
	case "OK":
		if named["user"] == "" {
			return nil, false, errDovecot
		}
		if text, there := named["resp"]; there {
			challenge, err = base64.StdEncoding.DecodeString(text)
			if err != nil || len(challenge) > authwire.MaxData {
				return nil, false, errDovecot
			}
		}
		c.login = named["user"]
		return challenge, true, nil
	case "FAIL":
		_, temp := named["temp"]
		if code := named["code"]; temp || code == "temp_fail" {
			return nil, false, errors.New("temporary failure" + reason(named["reason"]))
		}
		c.name = named["user"]
		return nil, false, sasl.ErrWrong
	}
	return nil, false, errDovecot
}

func reason(text string) string {
	if text == "" {
		return ""
	}
	return ": " + strconv.Quote(text)
}
