package qmtp

import (
	"io"
	"slices"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/crlf"
	"quail/internal/envelope"
	"quail/internal/netstring"
	"quail/internal/prog"
	"quail/internal/rcpthosts"
	"quail/internal/submit"
)

// What a QMTP client is told of a message or a recipient, beside what submit says.
const (
	resultSize   = envelope.Result("Dsorry, that message size exceeds my databytes limit (#5.3.4)")
	resultSender = envelope.Result("Dunacceptable sender (#5.1.7)")
)

// verdict is what policy says of a recipient.
type verdict byte

// The verdicts: acceptable, at a domain that is not ours, nothing for an envelope.
const (
	accepted verdict = iota
	foreign
	unfit
)

// refusals are what a client is told in place of what became of the message.
var refusals = [...]string{
	foreign: "Dsorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
	unfit:   "Dsorry, I can't handle that recipient (#5.1.3)",
}

// policy is what the administrator decided.
type policy struct {
	hosts    *rcpthosts.Rcpthosts
	limit    int64  // stored bytes of a message; 0 is no limit
	relaying bool   // this client may send to anybody: RELAYCLIENT is set
	suffix   string // and that is appended to its recipients
}

func readPolicy(dir control.Dir, env prog.Env) (p policy, err error) {
	if p.hosts, err = rcpthosts.Load(dir); err != nil {
		return p, err
	}
	limit, err := dir.Int("databytes", 0)
	if text, set := env.Lookup("DATABYTES"); set {
		limit = control.Number(text)
	}
	p.limit = int64(limit)
	p.suffix, p.relaying = env.Lookup("RELAYCLIENT")
	return p, err
}

// QMTP serves a client that speaks QMTP, which sends packages
//
//	netstring(message) netstring(sender) netstring(netstring(recipient) …)
//
// and gets a netstring for each recipient.
func QMTP(p *prog.Process) error {
	policy, err := readPolicy(control.In(conf.Home), p.Env)
	if err != nil {
		return err
	}
	s, err := newSession(p, "QMTP")
	if err != nil {
		return err
	}
	for err == nil {
		err = s.pack(&policy)
	}
	// Differs from qmail: who has sent disorder behind a package hears of the package.
	s.flush()
	return end(err)
}

// pack takes one package and answers.
func (s *session) pack(policy *policy) error {
	text, err := netstring.Open(s.in)
	if err != nil {
		return err
	}
	if text.Left() == 0 {
		return netstring.ErrFormat
	}
	m, err := s.open()
	if err != nil {
		return err
	}
	tooLong, err := copyText(m, text, policy.limit)
	var sender string
	var good bool
	if err == nil {
		sender, good, err = readAddress(s.in)
	}
	var verdicts []verdict
	if err == nil {
		m.From(sender)
		verdicts, err = s.recipients(m, policy)
	}
	if err != nil {
		abandon(m)
		return err
	}
	if tooLong || !good || !slices.Contains(verdicts, accepted) {
		m.Fail()
	}
	result := m.Close()
	if !good {
		result = resultSender
	}
	if tooLong {
		result = resultSize
	}
	whole := s.answer(m, result)
	for _, v := range verdicts {
		if v == accepted {
			s.say(whole)
		} else {
			s.say(refusals[v])
		}
	}
	return nil
}

// copyText stores a message. What goes beyond limit is read and not stored.
func copyText(m io.Writer, text *netstring.Reader, limit int64) (tooLong bool, err error) {
	first, err := text.ReadByte()
	if err != nil {
		return false, err
	}
	to := &bounded{to: m, left: limit, limited: limit > 0}
	switch first {
	case '\n':
		_, err = io.Copy(to, text)
	case '\r':
		err = crlf.Copy(to, text, crlf.Remove)
	default:
		err = netstring.ErrFormat
	}
	if err == nil {
		err = text.Close()
	}
	return to.over, err
}

// bounded passes on so many bytes and no more.
type bounded struct {
	to      io.Writer
	left    int64
	limited bool
	over    bool // there were more
}

func (w *bounded) Write(b []byte) (int, error) {
	pass := b
	if w.limited {
		w.over = w.over || int64(len(b)) > w.left
		pass = b[:min(int64(len(b)), w.left)]
		w.left -= int64(len(pass))
	}
	w.to.Write(pass) // a submit.Message has no errors
	return len(b), nil
}

// recipients adds those recipients that are acceptable to the envelope, and returns what
// it thinks of each.
func (s *session) recipients(m *submit.Message, policy *policy) (verdicts []verdict, err error) {
	list, err := netstring.Open(s.in)
	if err != nil {
		return nil, err
	}
	for list.Left() > 0 {
		if len(verdicts) == maxRecipients {
			return nil, errResources
		}
		address, good, err := readAddress(list)
		if err != nil {
			return nil, err
		}
		v, err := policy.judge(address, good)
		if err != nil {
			return nil, err
		}
		if v == accepted {
			m.To(address + policy.suffix)
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, list.Close()
}

// judge looks at a recipient, which is good if it can stand in an envelope. One that is
// too long is not looked at.
func (p *policy) judge(address string, good bool) (verdict, error) {
	long := !good && address == "" || len(address)+len(p.suffix) > maxAddress
	if !long && !p.relaying {
		allowed, err := p.hosts.Allowed(address)
		if err != nil {
			return unfit, err
		}
		if !allowed {
			return foreign, nil
		}
	}
	if long || !good {
		return unfit, nil
	}
	return accepted, nil
}
