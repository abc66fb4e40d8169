package qmtp

import (
	"io"

	"quail/internal/envelope"
	"quail/internal/netstring"
	"quail/internal/prog"
)

// resultAddress is what is made of a message with an address that is too long or has a
// NUL.
const resultAddress = envelope.Result("Dsorry, I can't accept addresses like that (#5.1.3)")

// QMQP serves a client that speaks QMQP, which sends one package:
//
//	netstring(netstring(message) netstring(sender) netstring(recipient) …)
//
// and gets one netstring. It asks nobody whether the client may.
func QMQP(p *prog.Process) error {
	s, err := newSession(p, "QMQP")
	if err != nil {
		return err
	}
	if err = s.mail(); err == nil {
		err = s.flush()
	}
	return end(err)
}

// mail takes the message and answers.
func (s *session) mail() error {
	pack, err := netstring.Open(s.in)
	if err != nil {
		return err
	}
	text, err := netstring.Open(pack)
	if err != nil {
		return err
	}
	m, err := s.open()
	if err != nil {
		return err
	}
	if _, err = io.Copy(m, text); err == nil {
		err = text.Close()
	}
	good := true
	address := func(add func(string)) {
		if err != nil {
			return
		}
		var text string
		var fits bool
		text, fits, err = readAddress(pack)
		if good = good && fits; good {
			add(text)
		}
	}
	address(m.From)
	for err == nil && pack.Left() > 0 {
		address(m.To)
	}
	if err == nil {
		err = pack.Close()
	}
	if err != nil {
		abandon(m)
		return err
	}
	if !good {
		abandon(m)
		s.say(string(resultAddress))
		return nil
	}
	s.say(s.answer(m, m.Close()))
	return nil
}

// readAddress reads an address and reports whether it can be one of an envelope.
func readAddress(from netstring.Source) (address string, good bool, err error) {
	r, err := netstring.Open(from)
	if err != nil {
		return "", false, err
	}
	address, fits, err := r.Text(maxAddress)
	return address, fits && envelope.Clean(address), err
}
