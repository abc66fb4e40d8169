package authd

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"time"

	"quail/internal/authwire"
	"quail/internal/sasl"
)

// Patience with the other end, which passes on what a client sends.
const (
	idle    = 5 * time.Minute  // for the next question; a client may take its time
	stalled = 10 * time.Second // for the rest of one, and for an answer to be taken
)

// errUnable is why a backend cannot tell by the mechanism that was asked for.
var errUnable = errors.New("this mechanism cannot be used here")

// backend is where names and passwords are checked.
type backend interface {
	// mechanisms returns what it can do; an error says that it cannot do anything now.
	mechanisms() ([]string, error)
	// begin begins an exchange. It enters y before an answer is looked for.
	begin(mechanism string, r authwire.Request, y *try) (exchange, error)
}

// exchange is one exchange with a client, as sasl.Server has it.
type exchange interface {
	sasl.Server
	// user returns whom the client claims to be, as far as that is known.
	user() string
	// close ends the exchange, whatever has become of it.
	close()
}

// conversation is one connection.
type conversation struct {
	*server
	conn *os.File
	in   *bufio.Reader

	request   authwire.Request
	mechanism string
	exchange  exchange // nil: there is none
	try       *try
}

// connection answers questions until the other end hangs up, or asks none for so long;
// 0 is for ever.
func (sv *server) connection(conn *os.File, patience time.Duration) {
	defer conn.Close()
	c := &conversation{server: sv, conn: conn, in: bufio.NewReader(conn)}
	defer c.end()
	for {
		conn.SetReadDeadline(time.Time{})
		if patience > 0 {
			conn.SetReadDeadline(sv.p.Now().Add(patience))
		}
		if _, err := c.in.Peek(1); err != nil {
			return
		}
		conn.SetReadDeadline(sv.p.Now().Add(stalled))
		q, err := authwire.ReadQuestion(c.in)
		if err != nil {
			return
		}
		a := c.answer(q)
		conn.SetWriteDeadline(sv.p.Now().Add(stalled))
		if _, err := conn.Write(a.Append(nil)); err != nil {
			return
		}
	}
}

// answer answers a question. A bug that it meets is this client's alone.
func (c *conversation) answer(q authwire.Question) (a authwire.Answer) {
	defer func() {
		if r := recover(); r != nil {
			c.warn(fmt.Errorf("internal error: %v", r))
			c.end()
			a = later(errors.New("internal error"))
		}
	}()
	switch q.Verb {
	case authwire.Mechanisms:
		names, err := c.backend.mechanisms()
		if err != nil {
			return c.unable(err)
		}
		return authwire.Offer(q.Request.Allowed(names))
	case authwire.Spend:
		return c.spend(q)
	case authwire.Begin:
		return c.begin(q)
	}
	if c.exchange == nil {
		return authwire.Answer{Kind: authwire.BadFormat, Text: "no exchange has begun"}
	}
	return c.next(q.Data)
}

func later(err error) authwire.Answer {
	return authwire.Answer{Kind: authwire.Later, Text: err.Error()}
}

// unable is later where the log has to say why.
func (c *conversation) unable(err error) authwire.Answer {
	c.warn(err)
	return later(errors.New("unable to check passwords now"))
}

func (c *conversation) spend(q authwire.Question) authwire.Answer {
	refusal, err := c.spending.spend(q.Login, q.Request.IP, limit{q.Messages, q.Recipients})
	switch {
	case err != nil:
		c.warn(err)
		return later(errors.New("unable to read limits"))
	case refusal != "":
		return later(errors.New(refusal))
	}
	return authwire.Answer{Kind: authwire.Yes}
}

// begin begins an exchange with the client's first response, if it sent one.
func (c *conversation) begin(q authwire.Question) authwire.Answer {
	c.end()
	names, err := c.backend.mechanisms()
	if err != nil {
		return c.unable(err)
	}
	allowed := false
	for _, name := range q.Request.Allowed(names) {
		allowed = allowed || name == q.Mechanism
	}
	if !allowed {
		return authwire.Answer{Kind: authwire.BadFormat, Text: errUnable.Error()}
	}
	c.request, c.mechanism, c.try = q.Request, q.Mechanism, c.tries.from(q.Request.IP)
	c.exchange, err = c.backend.begin(q.Mechanism, q.Request, c.try)
	if err != nil {
		c.exchange = nil
		return c.unable(err)
	}
	return c.next(q.Data)
}

// next takes the exchange one step further.
func (c *conversation) next(response []byte) authwire.Answer {
	challenge, done, err := c.exchange.Next(response)
	switch {
	case err == nil && !done:
		c.try.leave()
		return authwire.Answer{Kind: authwire.Challenge, Data: append([]byte{}, challenge...)}
	case err == nil && c.exchange.Login() != "":
		login := c.exchange.Login()
		c.try.right()
		c.end()
		return authwire.Answer{Kind: authwire.Yes, Data: challenge, Login: login}
	case errors.Is(err, sasl.ErrWrong):
		return c.wrong()
	}
	defer c.end()
	switch {
	case errors.Is(err, sasl.ErrFormat):
		return authwire.Answer{Kind: authwire.BadFormat, Text: "that is not in the form that " + c.mechanism + " has"}
	case errors.Is(err, sasl.ErrUnsupported):
		return authwire.Answer{Kind: authwire.BadFormat, Text: errUnable.Error()}
	case errors.Is(err, errBusy):
		return later(err)
	case err == nil:
		err = errors.New("a login without a name")
	}
	return c.unable(err)
}

// wrong answers no, when it is time for that.
func (c *conversation) wrong() authwire.Answer {
	user := c.exchange.user()
	c.exchange.close()
	c.exchange = nil
	if err := c.try.enter(user); err != nil {
		return later(err)
	}
	wait := c.try.wrong(user)
	fmt.Fprintf(c.p.Stderr, "qmail-authd: wrong: %.64q from %.64q by %s for %.16q, answer kept back for %v\n",
		user, c.request.IP, c.mechanism, c.request.Service, wait.Round(time.Second))
	time.Sleep(wait)
	return authwire.Answer{Kind: authwire.No, Text: sasl.ErrWrong.Error()}
}

// end ends an exchange that is under way.
func (c *conversation) end() {
	if c.exchange != nil {
		c.exchange.close()
		c.exchange = nil
	}
	if c.try != nil {
		c.try.leave()
	}
}
