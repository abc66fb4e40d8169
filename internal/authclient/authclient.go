// Package authclient asks qmail-auth who a client is, for a server that faces the network:
// it reads no secret and runs no program that checks one. Package authwire owns the bytes.
//
// There are two ways to have somebody to ask: the daemon at HOME/auth/login, or, where the
// server has been given a checkpassword program on its command line, a qmail-auth of its
// own. What either says is looked at as foreign bytes are. Nobody is asked before there is
// something to ask, and no answer is waited for longer than Patience.
package authclient

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"quail/internal/authwire"
	"quail/internal/conf"
	"quail/internal/localsocket"
	"quail/internal/proc"
	"quail/internal/prog"
)

// Patience is how long an answer may take: a wrong one is delayed by qmail-auth, and a
// program that checks passwords may take its time.
const Patience = 4 * time.Minute

// OfferPatience is how long the list of mechanisms may take, for which nothing is checked.
// Who only brings mail is not to wait for one who checks passwords and hangs.
const OfferPatience = 10 * time.Second

// The words of the conversation, see package authwire.
type (
	Request = authwire.Request
	Answer  = authwire.Answer
)

// The kinds of answers.
const (
	Challenge = authwire.Challenge
	Yes       = authwire.Yes
	No        = authwire.No
	Later     = authwire.Later
	BadFormat = authwire.BadFormat
)

// Client asks for one session. It is for one goroutine.
type Client struct {
	p    *prog.Process
	path string   // of the daemon's socket, or
	args []string // of a qmail-auth of our own

	conn *os.File // nil: not yet, or not any more
	in   *bufio.Reader
}

// Dial returns a client of the daemon that listens at path, usually HOME/auth/login.
func Dial(p *prog.Process, path string) *Client { return &Client{p: p, path: path} }

// Command returns a client of HOME/bin/qmail-auth -0 ARGS, which is run as the user that
// the process is, in its directory and with its environment, when the first exchange
// begins. The arguments are the administrator's, and copied now.
func Command(p *prog.Process, args []string) *Client {
	return &Client{p: p, args: append([]string{conf.Home + "/bin/qmail-auth", "-0"}, args...)}
}

// Mechanisms returns what may be offered to the client as it is connected now, what is to
// be offered first being first. An error says that nobody is there to ask.
func (c *Client) Mechanisms(r Request) ([]string, error) {
	if c.args != nil {
		return r.Allowed(authwire.ProgramMechanisms), nil
	}
	a, err := c.ask(authwire.Question{Verb: authwire.Mechanisms, Request: r})
	if err != nil {
		return nil, err
	}
	names, ok := a.Offered()
	if a.Kind == Later {
		return nil, fmt.Errorf("ask qmail-auth: %s", a.Text)
	}
	if !ok {
		return nil, c.lost(authwire.ErrFormat)
	}
	return names, nil
}

// Begin begins an exchange, in place of one that has not ended. Initial is the client's
// initial response, nil if there was none. With an error the answer is Later.
func (c *Client) Begin(r Request, mechanism string, initial []byte) (Answer, error) {
	return c.verdict(authwire.Question{Verb: authwire.Begin, Request: r, Mechanism: mechanism, Data: initial})
}

// Continue answers a challenge. With an error the answer is Later.
func (c *Client) Continue(response []byte) (Answer, error) {
	if response == nil {
		response = []byte{}
	}
	if c.conn == nil {
		return Answer{Kind: Later}, errors.New("no exchange has begun")
	}
	return c.verdict(authwire.Question{Verb: authwire.Continue, Data: response})
}

// Spend counts messages and recipients against what login, and the client's address, may
// submit in an hour: Yes, or Later with a text that says which limit that was and when
// there is room again. With an error the answer is Later.
func (c *Client) Spend(r Request, login string, messages, recipients int) (Answer, error) {
	return c.verdict(authwire.Question{Verb: authwire.Spend, Request: r, Login: login, Messages: messages, Recipients: recipients})
}

// Close ends the conversation, and with it an exchange that has not ended.
func (c *Client) Close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// verdict asks what has no list for an answer.
func (c *Client) verdict(q authwire.Question) (Answer, error) {
	a, err := c.ask(q)
	_, list := a.Offered()
	nobody := a.Kind == Yes && a.Login == "" && q.Verb != authwire.Spend
	if err == nil && (list || nobody) {
		err = c.lost(authwire.ErrFormat)
	}
	if err != nil {
		return Answer{Kind: Later}, err
	}
	return a, nil
}

// ask asks a question. The daemon has many callers: it is called for a question, and a
// connection is kept for an exchange alone. A qmail-auth of our own is kept.
func (c *Client) ask(q authwire.Question) (a Answer, err error) {
	if q.Verb != authwire.Continue && c.args == nil {
		c.Close()
	}
	if err := c.connect(); err != nil {
		return a, err
	}
	a, err = c.once(q)
	if err == nil && a.Kind != Challenge && c.args == nil {
		c.Close()
	}
	return a, err
}

func (c *Client) once(q authwire.Question) (a Answer, err error) {
	patience := Patience
	if q.Verb == authwire.Mechanisms {
		patience = OfferPatience
	}
	c.conn.SetDeadline(c.p.Now().Add(patience))
	if _, err := c.conn.Write(q.Append(nil)); err != nil {
		return a, c.lost(err)
	}
	if a, err = authwire.ReadAnswer(c.in); err != nil {
		return Answer{}, c.lost(err)
	}
	return a, nil
}

// lost hangs up on somebody who does not answer as he should.
func (c *Client) lost(cause error) error {
	c.Close()
	if cause == io.EOF {
		cause = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("ask qmail-auth: %w", cause)
}

// connect finds somebody to ask.
func (c *Client) connect() (err error) {
	if c.conn != nil {
		return nil
	}
	if c.args == nil {
		c.conn, err = localsocket.Dial(c.path, true)
	} else {
		c.conn, err = c.start()
	}
	if err != nil {
		return fmt.Errorf("call qmail-auth: %w", err)
	}
	c.in = bufio.NewReader(c.conn)
	return nil
}

// start runs a qmail-auth of our own and returns our end of the connection to it. It ends
// when we hang up.
func (c *Client) start() (*os.File, error) {
	ours, theirs, err := localsocket.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	child, err := proc.Command{
		Args: c.args, Env: c.p.Env, Dir: c.p.Dir, Stdin: theirs, Stdout: c.p.Stderr, Stderr: c.p.Stderr,
	}.Start()
	if err != nil {
		ours.Close()
		return nil, err
	}
	go child.Wait()
	return ours, nil
}
