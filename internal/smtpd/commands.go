package smtpd

import (
	"strings"

	"quail/internal/fault"
	"quail/internal/mailaddr"
	"quail/internal/prog"
)

// command is what is done for one verb.
type command struct {
	verb string // in lower case
	run  func(s *session, arg string) error
	// held: the reply waits for those to the commands that a pipelining client
	// has sent along.
	held bool
}

// commands are all that a client can say. There is no need to say HELO first.
var commands = []command{
	{"rcpt", (*session).rcpt, true},
	{"mail", (*session).mailFrom, true},
	{"data", (*session).data, false},
	{"quit", (*session).quit, false},
	{"helo", (*session).hello, false},
	{"ehlo", (*session).extendedHello, false},
	{"rset", (*session).reset, true},
	{"help", saying("214 notqmail home page: https://notqmail.org"), false},
	{"noop", saying("250 ok"), false},
	{"vrfy", saying("252 send some mail, i'll try my best"), false},
}

var unimplemented = command{"", saying("502 unimplemented (#5.5.1)"), false}

// command does what a line says: a verb, which ends at a space and nothing else,
// and an argument without the spaces before it. An error ends the session.
func (s *session) command(line string) error {
	s.queueUp()
	verb, arg, _ := strings.Cut(line, " ")
	verb, arg = mailaddr.Lower(verb), strings.TrimLeft(arg, " ")
	c := unimplemented
	for i := range commands {
		if commands[i].verb == verb {
			c = commands[i]
			break
		}
	}
	if err := c.run(s, arg); err != nil || c.held {
		return err
	}
	return s.flush()
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

const (
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
	case !ok:
		s.reply(replySyntax)
		return nil
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
	recipient, ok, err := s.address(arg)
	fault.In(recipient)
	switch {
	case err != nil:
		return s.die(replyMyIP)
	case !ok:
		s.reply(replySyntax)
		return nil
	case s.badSender:
		s.reply("553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)")
		return nil
	}
	recipient, ok, err = s.policy.recipient(recipient)
	switch {
	case err != nil:
		return s.die(replyControls)
	case !ok:
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
