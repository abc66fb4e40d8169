package smtpd

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"quail/internal/dottext"
	"quail/internal/envelope"
	"quail/internal/received"
	"quail/internal/submit"
	"quail/internal/ucspi"
)

// maxHops is how many Received and Delivered-To lines show that a message is
// going round in circles.
const maxHops = 100

// data takes a message. From here on the transaction is over, whatever happens.
func (s *session) data(string) error {
	switch {
	case !s.mail:
		s.reply(replyNoMail)
		return nil
	case len(s.recipients) == 0:
		s.reply("503 RCPT first (#5.5.1)")
		return nil
	}
	if spent, err := s.spend(bytes.Count(s.recipients, []byte{0})); !spent || err != nil {
		return err
	}
	sender, recipients := s.sender, s.recipients
	s.forget()
	s.messages++
	m, err := s.sv.queue.Open(s.submitter())
	if err != nil {
		s.reply("451 qqt failure (#4.3.0)")
		return nil
	}
	s.reply("354 go ahead")
	m.WriteString(s.trace())
	text, err := s.text(m, s.completion(m, sender))
	if err != nil {
		m.Fail()
		m.Close()
		return err
	}
	looping := text.Hops >= maxHops
	tooLong := s.policy.limit > 0 && text.Size > s.policy.limit
	if looping || tooLong {
		m.Fail()
	}
	m.From(sender)
	count := bytes.Count(recipients, []byte{0})
	for len(recipients) > 0 {
		end := bytes.IndexByte(recipients, 0)
		m.To(string(recipients[:end]))
		recipients = recipients[end+1:]
	}
	result := m.Close()
	if result.OK() {
		s.passed(sender, count, m.QP)
	}
	s.reply(s.verdict(m, result, looping, tooLong))
	return nil
}

// completion returns what the message goes through on its way to m: nothing, unless
// this is for submission.
func (s *session) completion(m *submit.Message, sender string) *completion {
	if !s.policy.submission {
		return nil
	}
	now := s.p.Now()
	return newCompletion(m, sender, messageID(now, s.p.PID, s.messages, s.login.idHost), now)
}

// verdict is the reply to a message. Loops and sizes are reported only now, after
// all of the message: an SMTP client does not listen before.
func (s *session) verdict(m *submit.Message, result envelope.Result, looping, tooLong bool) string {
	switch {
	case result.OK():
		s.talk = 0
		return fmt.Sprintf("250 ok %d qp %d", s.p.Now().Unix(), m.QP)
	case looping:
		return "554 too many hops, this message is looping (#5.4.6)"
	case tooLong:
		return "552 sorry, that message size exceeds my databytes limit (#5.3.4)"
	case result.Permanent():
		return "554 " + result.Text()
	}
	return "451 " + result.Text()
}

// trace returns the Received line.
func (s *session) trace() string {
	trace := ucspi.FromEnv(s.p.Env).Session(s.protocol())
	if s.tls != nil {
		trace.Secrecy = s.tls.Version() + " " + s.tls.Cipher()
	}
	trace.Helo, trace.HasHelo = s.helo, s.greeted
	return received.Network(trace, s.p.Now())
}

// protocol is the word for the session in a Received line: SMTP also after EHLO, as qmail
// has it, and those of RFC 3848 for what qmail does not have. The login is not in it, as
// the message is for strangers.
func (s *session) protocol() string {
	switch {
	case s.tls != nil && s.login != nil:
		return "ESMTPSA"
	case s.tls != nil:
		return "ESMTPS"
	case s.login != nil:
		return "ESMTPA"
	}
	return "SMTP"
}

// textMemory is where a message passes through. It is held while there is something
// of it, not while the client takes its time.
type textMemory struct{ *textBuffers }

type textBuffers struct {
	in  [32 << 10]byte
	out [32<<10 + dottext.Slack]byte
}

var textPool = sync.Pool{New: func() any { return new(textBuffers) }}

// Borrow takes buffers from those that all sessions share.
func (m *textMemory) Borrow() []byte {
	m.textBuffers = textPool.Get().(*textBuffers)
	return m.in[:]
}

// Return gives them back.
func (m *textMemory) Return() {
	textPool.Put(m.textBuffers)
	m.textBuffers = nil
}

// text reads the text of a message into m, up to its end. What the client sent
// after that stays unread. An error ends the session. What goes beyond the limit
// is read and not stored. c, if there is one, completes the message.
func (s *session) text(m *submit.Message, c *completion) (d dottext.Decoder, err error) {
	var to io.Writer = m
	if c != nil {
		to = c
	}
	var memory textMemory
	// What was sent along with DATA is no longer than a buffer, see maxLine.
	in := memory.Borrow()[:copy(memory.in[:], s.unread)]
	s.unread = nil
	for {
		out, n, err := d.Decode(memory.out[:0], in)
		if s.policy.limit == 0 || d.Size <= s.policy.limit {
			to.Write(out)
		}
		if err == io.EOF && !s.keep(in[n:], 0) {
			err = s.die(replyMemory)
		} else if err == dottext.ErrBareLF {
			err = s.die(replyBareLF)
		}
		if err == io.EOF {
			clear(in[n:]) // it may begin a login
		}
		memory.Return()
		if err == io.EOF {
			if c != nil {
				c.end()
			}
			return d, nil
		} else if err != nil {
			return d, err
		}
		if n, err = s.read(&memory); err != nil {
			return d, err
		}
		in = memory.in[:n]
	}
}
