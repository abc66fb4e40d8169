package explain

import (
	"quail/internal/control"
	"quail/internal/localaddr"
	"quail/internal/mailaddr"
	"quail/internal/rcpthosts"
	"quail/internal/route"
)

// stranger tells whether qmail-smtpd takes mail for the address from a client that
// may not relay, and returns the address that it puts into the envelope. Neither
// this answer nor its absence counts for the result: a local program's mail takes
// another way in.
func (e *Explainer) stranger(a *Address, address string) string {
	host, set, err := e.control.Line("localiphost")
	if err == nil && !set {
		host, set, err = e.control.Line(control.Me)
	}
	given := address
	if err == nil && set {
		address, err = localaddr.AtHome(address, host, e.finder.Local)
	}
	if err != nil {
		a.add(Step{Step: "localiphost", Outcome: Hidden, File: "control/localiphost", Text: cause(err)})
	} else if address != given {
		a.add(Step{Step: "localiphost", Outcome: Applies, File: "control/localiphost", Value: address,
			Text: "this host's own address: by SMTP the recipient becomes " + address})
	}
	hosts, err := rcpthosts.Load(e.control)
	var m rcpthosts.Match
	if err == nil {
		m, err = hosts.Find(address)
	}
	s := Step{Step: "rcpthosts", Outcome: Applies, Match: m.Key}
	switch {
	case err != nil:
		s.Outcome, s.Text = Hidden, cause(err)
	case !m.Allowed:
		s.Outcome = Refuses
		s.Text = "refused by SMTP from strangers: " + hosts.WhyNot(address, quoted)
	case m.File == "":
		s.Text = "accepted by SMTP from strangers: the address has no domain"
	default:
		s.File = "control/" + m.File
		s.Text = "accepted by SMTP from strangers: " + m.File + " has " + m.Key
	}
	a.add(s)
	return address
}

// quoted makes nothing visible.
func quoted(s string) string {
	if s == "" {
		return `""`
	}
	return s
}

// route tells what qmail-send makes of an address.
func (e *Explainer) route(a *Address, address string) (w route.Way, ok bool) {
	table, err := route.Read(e.control)
	if err != nil {
		a.stop(Step{Step: "control", File: "control", Text: "qmail-send cannot start: " + cause(err)}, e.unreadable(err))
		return w, false
	}
	w = table.Find(address)
	if w.NoHost {
		a.add(Step{Step: "envnoathost", Outcome: Applies, File: "control/envnoathost", Value: table.EnvNoAtHost,
			Text: "no @ in the address: it is at " + table.EnvNoAtHost})
	}
	before := address
	for _, next := range w.Unwrapped {
		_, domain, _ := mailaddr.Split(before)
		a.add(Step{Step: "percenthack", Outcome: Applies, File: "control/percenthack", Match: domain, Value: next,
			Text: "becomes " + next})
		before = next
	}
	a.Channel = w.Channel.String()
	a.Recipient = show(w.Address)
	_, domain, _ := mailaddr.Split(w.Address)
	if w.Local {
		a.add(Step{Step: "locals", Outcome: Applies, File: "control/locals", Match: domain, Text: quoted(domain) + " is local"})
		return w, true
	}
	a.add(Step{Step: "locals", Outcome: Passes, File: "control/locals", Text: quoted(domain) + " is not among them"})
	s := Step{Step: "virtualdomains", Outcome: Applies, File: "control/virtualdomains", Match: w.Key, Value: w.Prefix}
	line := w.Key + ":" + w.Prefix
	switch {
	case !w.Virtual:
		s.Outcome, s.Text = Passes, "no line applies"
	case w.Prefix == "":
		s.Text = "by the line " + line + " not virtual"
	default:
		s.Text = "by the line " + line + " local, as " + w.Address
	}
	a.add(s)
	return w, true
}

// senderFor tells which sender the recipient sees, if that is not the message's.
func (e *Explainer) senderFor(a *Address, sender, recipient string) string {
	seen := route.SenderFor(sender, recipient)
	if seen != sender {
		a.add(Step{Step: "sender", Outcome: Applies, Match: sender, Value: seen, Text: "a sender for each recipient: " + seen})
	}
	return seen
}
