// Package qreceipt confirms to the sender of a message that it was delivered, if its
// header asks for that. See spec "Injection", section 9.
//
// The message and its sender are a stranger's. A notice is a message to whomever they
// name, as a bounce is; it goes out with an empty sender, so that two programs of this
// kind do not write to each other for ever.
package qreceipt

import (
	"errors"
	"fmt"
	"strings"

	"quail/internal/mailaddr"
	"quail/internal/prog"
	"quail/internal/rfc822"
	"quail/internal/submit"
)

// Run is qreceipt.
func Run(p *prog.Process) error {
	sender, ok := p.Env.Lookup("SENDER")
	if !ok || len(p.Args) == 0 {
		return prog.Usage("qreceipt deliveryaddress")
	}
	target := p.Args[0]
	wanted, id, err := read(rfc822.NewScanner(p.Stdin), target)
	if err != nil || !wanted || !answerable(sender) {
		return err
	}
	return send(p, sender, target, id)
}

// answerable reports whether a notice may go to a sender: to none for bounces and
// double bounces.
//
// Differs from qmail: nor to one that would not stay on its line of the header.
func answerable(sender string) bool {
	return sender != "" && sender != "#@[]" && !strings.ContainsAny(sender, "\r\n")
}

// read reports whether the header asks for a notice about target, and returns the
// field Message-ID, the last of several, or "".
func read(s *rfc822.Scanner, target string) (wanted bool, id string, err error) {
	for s.Next() {
		switch name, _ := rfc822.Split(s.Field()); strings.ToLower(name) {
		case "message-id":
			id = s.Field()
		case "notice-requested-upon-delivery-to":
			_, err := rfc822.ParseField(s.Field(), func(a rfc822.Address) rfc822.Address {
				address, err := a.Envelope()
				wanted = wanted || err == nil && address == target
				return a
			})
			if err != nil {
				return false, "", prog.Perm(errors.New("unable to parse this: " + strings.TrimSuffix(s.Field(), "\n")))
			}
		}
	}
	if err := s.Err(); err != nil {
		return false, "", prog.Fail("unable to read message", err)
	}
	return wanted, id, nil
}

// send queues the notice.
func send(p *prog.Process, sender, target, id string) error {
	m, err := submit.Open(p)
	if err != nil {
		return prog.Fail("unable to fork", err)
	}
	m.WriteString(notice(sender, target, id))
	m.From("")
	m.To(sender)
	switch result := m.Close(); {
	case result.OK():
		return nil
	case result.Permanent():
		return prog.Perm(errors.New("permanent qmail-queue error"))
	default:
		return errors.New("temporary qmail-queue error")
	}
}

func notice(sender, target, id string) string {
	to := mailaddr.Quote(sender)
	text := fmt.Sprintf(`From: DELIVERY NOTICE SYSTEM <%s>
To: <%s>
Subject: success notice

Hi! This is the qreceipt program. Your message was delivered to the
following address: %s. Thanks for asking.
`, to, to, target)
	if id != "" {
		text += "Your " + strings.TrimSuffix(id, "\n") + "\n"
	}
	return text
}
