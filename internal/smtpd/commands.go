package smtpd

import (
	"bytes"
	"strings"

	"quail/internal/fault"
	"quail/internal/prog"
)

// command is what is done for one verb.
type command struct {
	verb string // in lower case
	run  func(s *session, arg string) error
	// secret, if not nil, is run instead, with an argument of which nothing is left.
	secret func(s *session, arg []byte) error
	// held: the reply waits for those to the commands that a pipelining client
	// has sent along.
	held bool
}

// commands are all that a client can say. There is no need to say HELO first.
var commands = []command{
	{verb: "rcpt", run: (*session).rcpt, held: true},
	{verb: "mail", run: (*session).mailFrom, held: true},
	{verb: "data", run: (*session).data},
	{verb: "quit", run: (*session).quit},
	{verb: "helo", run: (*session).hello},
	{verb: "ehlo", run: (*session).extendedHello},
	{verb: "rset", run: (*session).reset, held: true},
	{verb: "help", run: saying("214 notqmail home page: https://notqmail.org")},
	{verb: "noop", run: saying("250 ok")},
	{verb: "vrfy", run: saying("252 send some mail, i'll try my best")},
	{verb: "starttls", run: (*session).startTLS},
	{verb: "auth", secret: (*session).auth},
}

var unimplemented = command{run: saying(replyUnknown)}

// command does what a line says: a verb, which ends at a space and nothing else,
// and an argument without the spaces before it. An error ends the session.
func (s *session) command(line []byte) error {
	s.queueUp()
	verb, arg, _ := bytes.Cut(line, []byte{' '})
	arg = bytes.TrimLeft(arg, " ")
	c := &unimplemented
	for i := range commands {
		if isVerb(verb, commands[i].verb) {
			c = &commands[i]
			break
		}
	}
	if err := c.do(s, arg); err != nil || c.held {
		return err
	}
	return s.flush()
}

func (c *command) do(s *session, arg []byte) error {
	if c.secret != nil {
		return c.secret(s, arg)
	}
	return c.run(s, string(arg))
}

// isVerb reports whether b is a verb, in letters of either case.
func isVerb(b []byte, verb string) bool {
	if len(b) != len(verb) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != verb[i] {
			return false
		}
	}
	return true
}

// saying is a command that does nothing.
func saying(reply string) func(*session, string) error {
	return func(s *session, _ string) error {
		s.reply(reply)
		return nil
	}
}

func (s *session) hello(name string) error {
	s.reply("250 ", s.policy.greeting)
	return s.remember(name)
}

func (s *session) extendedHello(name string) error {
	s.reply("250-", s.policy.greeting)
	s.reply("250-PIPELINING")
	if err := s.offer(); err != nil {
		return err
	}
	s.reply("250 8BITMIME")
	return s.remember(name)
}

// remember keeps the client's name and begins anew.
func (s *session) remember(name string) error {
	s.forget()
	s.unclaim(len(s.helo))
	s.helo, s.greeted = name, true
	if !s.claim(len(name)) {
		s.out = s.out[:0]
		return s.die(replyMemory)
	}
	return nil
}

// forget ends the transaction.
func (s *session) forget() {
	s.unclaim(len(s.recipients))
	s.mail, s.sender, s.badSender, s.recipients = false, "", false, nil
}

func (s *session) reset(string) error {
	s.forget()
	s.reply("250 flushed")
	return nil
}

func (s *session) quit(string) error {
	s.reply("221 ", s.policy.greeting)
	if err := s.flush(); err != nil {
		return err
	}
	return prog.Exit(0)
}

// What an answer to EHLO may have offered.
const (
	offersTLS = 1 << iota
	offersAuth
)

// offer says what there is for this client beyond what is there for all.
func (s *session) offer() error {
	s.offered = 0
	if s.tls == nil && s.sv.keys.Ready() == nil {
		s.offered |= offersTLS
		s.reply("250-STARTTLS")
	}
	names, err := s.mechanisms()
	if err != nil {
		return err
	}
	if len(names) > 0 {
		s.offered |= offersAuth
		s.reply("250-AUTH ", strings.Join(names, " "))
	}
	return nil
}

const (
	replyUnknown   = "502 unimplemented (#5.5.1)"
	replyNeedsTLS  = "530 say STARTTLS first (#5.7.0)"
	replyNeedsAuth = "530 log in by AUTH first (#5.7.0)"

	replySyntax = "555 syntax error (#5.5.4)"
	replyNoMail = "503 MAIL first (#5.5.1)"
)

// mailFrom begins a transaction. A sender that is not welcome hears of it at each
// RCPT, because many clients take a refused MAIL for a failure of the whole host.
func (s *session) mailFrom(arg string) error {
	sender, ok, err := s.address(arg)
	switch {
	case err != nil:
		return s.die(replyMyIP)
	case s.policy.forceTLS && s.tls == nil:
		s.reply(replyNeedsTLS)
		return nil
	case s.policy.submission && s.login == nil:
		s.refused(sender, "", "the client has not logged in")
		s.reply(replyNeedsAuth)
		return nil
	case !ok:
		s.reply(replySyntax)
		return nil
	}
	if s.login != nil {
		accounts, err := s.sv.accounts.get(s.p, accountFiles[:], readAccounts)
		if err != nil {
			return s.die(replyControls)
		}
		if (s.policy.submission || accounts.bound) && !accounts.maySend(s.login.name, sender) {
			s.refused(sender, "", "control/senderlogins does not give that sender to the login")
			s.reply("553 sorry, you may not send mail as that address (#5.7.1)")
			return nil
		}
	}
	s.forget()
	s.mail, s.sender, s.badSender = true, sender, s.policy.badSender(sender)
	s.reply("250 ok")
	return nil
}

func (s *session) rcpt(arg string) error {
	if !s.mail {
		s.reply(replyNoMail)
		return nil
	}
	given, ok, err := s.address(arg)
	fault.In(given)
	switch {
	case err != nil:
		return s.die(replyMyIP)
	case !ok:
		s.reply(replySyntax)
		return nil
	case s.badSender:
		s.refused(s.sender, given, "control/badmailfrom has the sender")
		s.reply("553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)")
		return nil
	}
	recipient, ok, err := s.policy.recipient(given)
	switch {
	case err != nil:
		return s.die(replyControls)
	case !ok:
		s.refused(s.sender, given, s.policy.rcptHosts.WhyNot(given, shown))
		s.reply("553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)")
		return nil
	case len(s.recipients)+len(recipient) >= maxRecipients, !s.claim(len(recipient) + 1):
		s.reply("452 too many recipients (#4.5.3)")
		return nil
	}
	s.recipients = append(append(s.recipients, recipient...), 0)
	s.talk-- // it got somewhere
	s.reply("250 ok")
	return nil
}

// address returns the address that the argument of MAIL or RCPT names, in the
// form it has in an envelope. ok is false if it is too long.
func (s *session) address(arg string) (address string, ok bool, err error) {
	address, err = s.policy.atHome(parsePath(arg))
	return address, len(address) < maxAddress, err
}
