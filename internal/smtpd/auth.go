package smtpd

import (
	"bytes"
	"encoding/base64"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"quail/internal/authclient"
	"quail/internal/authwire"
	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/prog"
)

const (
	maxTries    = 5              // logins in vain, after which the session is over
	maxResponse = 12288          // bytes of a line within AUTH, RFC 4954 section 4
	offerTime   = time.Second    // how long what qmail-auth offers counts
	deafTime    = 10 * offerTime // how long it is not asked if it has let a client wait in vain
)

const (
	replyNoLogin   = "454 temporary authentication failure (#4.7.0)"
	replyNotBase64 = "501 that is not base64 (#5.5.2)"
	replyCancelled = "501 authentication cancelled (#5.7.0)"
	replyTooLong   = "500 line too long (#5.5.6)"
)

// login is who the client has proven to be.
type login struct {
	name   string
	idHost string        // for its messages
	p      *prog.Process // for programs in qmail-queue's place, which are told the name
}

// hasChecker reports whether the command line names a program to check passwords:
// HOST PROGRAM [ARG ...].
func hasChecker(args []string) bool { return len(args) >= 2 }

// client returns somebody to ask who the client is. It is to be closed.
func (s *session) client() *authclient.Client {
	if hasChecker(s.p.Args) {
		return authclient.Command(s.p, s.p.Args[1:])
	}
	return daemon(s.p)
}

func daemon(p *prog.Process) *authclient.Client {
	return authclient.Dial(p, filepath.Join(conf.Home, authwire.Path))
}

// counter returns somebody to ask whether there is room for more mail, nil where that is
// not limited. It is to be closed. A qmail-auth of the session's own will not do: it has
// counted nothing yet. So with a program on the command line and limits there has to be
// the daemon, too.
func (s *session) counter() *authclient.Client {
	if hasChecker(s.p.Args) {
		if _, limited, err := control.In(conf.Home).List("submissionlimits"); !limited && err == nil {
			return nil
		}
	}
	return daemon(s.p)
}

// request is what qmail-auth is told of the client.
func (s *session) request(plainOK bool) authclient.Request {
	r := authclient.Request{
		Service: "smtp", IP: s.p.Env.Get("TCPREMOTEIP"), Local: s.p.Env.Get("TCPLOCALIP"),
		TLS: s.tls != nil, PlainOK: plainOK,
	}
	if s.policy.submission {
		r.Service = "submission"
	}
	if s.tls != nil {
		r.Bindings = s.tls.Bindings()
	}
	return r
}

// asked is what qmail-auth has offered lately to clients of each kind, so that it is not
// asked at each EHLO. A process that serves one client asks at once.
type asked struct {
	mu     sync.Mutex
	offers map[kind]offer
	nobody time.Time // until then nobody is taken to be there
}

// kind is what an offer depends on.
type kind struct {
	service             string
	tls, plainOK, bound bool
}

type offer struct {
	names []string
	until time.Time
}

// mechanisms returns what this client may log in by: nothing where nobody is there to
// ask. An error ends the session.
func (s *session) mechanisms() ([]string, error) {
	a, now := &s.sv.asked, s.p.Now()
	if s.policy.forceTLS && s.tls == nil || a.isNobody(now) {
		return nil, nil
	}
	accounts, err := s.sv.accounts.get(s.p, accountFiles[:], readAccounts)
	if err != nil {
		return nil, s.die(replyControls)
	}
	r := s.request(accounts.plaintext)
	k := kind{r.Service, r.TLS, r.PlainOK, len(r.Bindings) > 0}
	if names, known := a.lately(k, now); known {
		return names, nil
	}
	c := s.client()
	defer c.Close()
	names, err := c.Mechanisms(r) // where it fails qmail-auth, or who started it, says why
	if s.p.Warm {
		a.keep(k, now, s.p.Now(), names, err)
	}
	return names, nil
}

// lately returns what was offered less than a moment ago.
func (a *asked) lately(k kind, now time.Time) (names []string, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o, known := a.offers[k]
	return o.names, known && soon(now, o.until)
}

// isNobody reports whether nobody was there a moment ago.
func (a *asked) isNobody(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return soon(now, a.nobody)
}

// soon reports whether now is in the time that ends at until, by a clock that may be set
// back.
func soon(now, until time.Time) bool {
	return now.Before(until) && now.After(until.Add(-2*deafTime))
}

// keep takes note of an answer to what was asked at the time began.
func (a *asked) keep(k kind, began, now time.Time, names []string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.nobody = now.Add(offerTime)
		if now.Sub(began) > offerTime {
			a.nobody = now.Add(deafTime)
		}
		return
	}
	if a.offers == nil {
		a.offers = map[kind]offer{}
	}
	a.offers[k] = offer{names, now.Add(offerTime)}
}

// auth lets the client prove who it is, RFC 4954. Of what it says nothing is kept.
func (s *session) auth(arg []byte) error {
	defer clear(arg)
	s.secret = true
	if s.policy.forceTLS && s.tls == nil {
		s.reply(replyNeedsTLS)
		return nil
	}
	names, err := s.mechanisms()
	if err != nil {
		return err
	}
	word, initial, given := bytes.Cut(arg, []byte{' '})
	mechanism := strings.ToUpper(string(word[:min(len(word), 40)]))
	plain := mechanism == "PLAIN" || mechanism == "LOGIN"
	switch {
	case len(names) == 0 && s.offered&offersAuth == 0:
		s.reply(replyUnknown)
	case len(names) == 0:
		s.reply(replyNoLogin)
	case s.login != nil:
		s.reply("503 you have logged in already (#5.5.1)")
	case s.mail:
		s.reply("503 not within a transaction (#5.5.1)")
	case mechanism == "":
		s.reply("501 AUTH needs the name of a mechanism (#5.5.4)")
	case !slices.Contains(names, mechanism) && plain && s.tls == nil:
		s.reply("538 that needs TLS (#5.7.11)")
	case !slices.Contains(names, mechanism):
		s.reply("504 no such mechanism (#5.5.4)")
	case len(arg) > maxResponse:
		s.reply(replyTooLong)
	default:
		return s.exchange(mechanism, bytes.TrimLeft(initial, " "), given)
	}
	return nil
}

// exchange is one exchange with qmail-auth in the middle.
func (s *session) exchange(mechanism string, initial []byte, given bool) error {
	accounts, err := s.sv.accounts.get(s.p, accountFiles[:], readAccounts)
	if err != nil {
		return s.die(replyControls)
	}
	var first []byte
	if given {
		var ok bool
		if first, ok = decode(initial); !ok {
			return s.inVain(mechanism, replyNotBase64, "not base64")
		}
	}
	c := s.client()
	defer c.Close()
	answer, err := c.Begin(s.request(accounts.plaintext), mechanism, first)
	clear(first)
	for err == nil && answer.Kind == authclient.Challenge {
		response, refusal, ended := s.response(answer.Data)
		if ended != nil {
			return ended
		}
		if refusal != "" {
			return s.inVain(mechanism, refusal, "given up by the client")
		}
		answer, err = c.Continue(response)
		clear(response)
	}
	switch {
	case err != nil:
		s.note("login not possible mechanism=%s: %s", mechanism, said(err.Error()))
		s.reply(replyNoLogin)
		return nil
	case answer.Kind == authclient.Later:
		return s.inVain(mechanism, replyNoLogin, answer.Text)
	case answer.Kind == authclient.BadFormat:
		return s.inVain(mechanism, "501 malformed authentication message (#5.5.2)", answer.Text)
	case answer.Kind != authclient.Yes:
		return s.inVain(mechanism, "535 authentication failed (#5.7.8)", answer.Text)
	}
	return s.proven(mechanism, answer, accounts)
}

// response sends a challenge and returns what the client says to it, to be cleared. A
// refusal is the reply to something else. An error ends the session.
func (s *session) response(challenge []byte) (response []byte, refusal string, err error) {
	s.reply("334 ", base64.StdEncoding.EncodeToString(challenge))
	line, err := s.line(s.readMore)
	if err != nil {
		return nil, "", err
	}
	defer clear(line)
	if len(line) == 1 && line[0] == '*' {
		return nil, replyCancelled, nil
	}
	if len(line) > maxResponse {
		return nil, replyTooLong, nil
	}
	response = make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Strict().Decode(response, line)
	if err != nil || bytes.ContainsAny(line, "\r\n") {
		clear(response)
		return nil, replyNotBase64, nil
	}
	return response[:n], "", nil
}

// decode returns what an initial response stands for: = for one without anything in it.
func decode(text []byte) (response []byte, ok bool) {
	if string(text) == "=" {
		return []byte{}, true
	}
	response = make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(response, text)
	if err != nil || n == 0 || bytes.ContainsAny(text, "\r\n") {
		clear(response)
		return nil, false
	}
	return response[:n], true
}

// inVain is the end of an exchange that has proven nothing. A client that has had so many
// of them has no others.
func (s *session) inVain(mechanism, reply, why string) error {
	s.tries++
	s.note("login failed mechanism=%s: %s", mechanism, said(why))
	if s.tries >= maxTries {
		return s.die("421 too many logins failed (#4.7.0)")
	}
	s.reply(reply)
	return nil
}

// proven is the end of one that has proven who the client is.
func (s *session) proven(mechanism string, answer authclient.Answer, accounts *accounts) error {
	if answer.Data != nil {
		response, refusal, err := s.response(answer.Data)
		if err != nil {
			return err
		}
		if refusal != "" || len(response) > 0 {
			clear(response)
			return s.inVain(mechanism, replyCancelled, "given up by the client")
		}
	}
	p := *s.p
	p.Env = s.p.Env.With("TCPREMOTEINFO", answer.Login).With("RELAYCLIENT", "")
	s.login = &login{name: answer.Login, idHost: accounts.idHost, p: &p}
	s.policy.loggedIn()
	over := ""
	if s.tls != nil {
		over = " " + s.tls.Version()
	}
	s.note("logged in%s mechanism=%s%s", s.rights(), mechanism, over)
	s.reply("235 ok, go ahead (#2.7.0)")
	return nil
}

// submitter is the process that messages are queued for. Programs in qmail-queue's place
// are told who has logged in as the AUTH patches of qmail have it.
func (s *session) submitter() *prog.Process {
	if s.login != nil {
		return s.login.p
	}
	return s.p
}

// spend counts a message that is about to be taken against the limits of the login. The
// client has been told where there is no room for it.
func (s *session) spend(recipients int) (ok bool, err error) {
	if s.login == nil {
		return true, nil
	}
	c := s.counter()
	if c == nil {
		return true, nil
	}
	defer c.Close()
	answer, err := c.Spend(s.request(false), s.login.name, 1, recipients)
	switch {
	case err != nil:
		s.refused(s.sender, "", said(err.Error()))
		s.reply("451 the limits for your mail cannot be looked up now (#4.3.0)")
	case answer.Kind == authclient.Yes:
		return true, nil
	default:
		s.refused(s.sender, "", said(answer.Text))
		s.reply("452 ", said(answer.Text), " (#4.7.1)")
	}
	return false, nil
}
