package explain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/mailaddr"
	"quail/internal/nexthop"
	"quail/internal/tcpto"
)

// smtpPort is where hosts listen unless a route says otherwise.
const smtpPort = 25

// remote tells where qmail-remote takes the message.
func (e *Explainer) remote(a *Address, recipient string) {
	_, host, _ := mailaddr.Split(recipient)
	routes, _, err := e.control.Map("smtproutes")
	s := Step{Step: "smtproutes", Outcome: Applies, File: "control/smtproutes"}
	if err != nil {
		s.Text = cause(err)
		a.stop(s, e.unreadable(err))
		return
	}
	target, rule := nexthop.Route(routes, host, smtpPort)
	s.Match, s.Value = rule.Key, rule.Relay
	switch line := rule.Key + ":" + rule.Relay; {
	case !rule.Found:
		s.Outcome, s.Text = Passes, "no line applies"
	case !target.Relayed:
		s.Text = "by the line " + line + " no relay"
	default:
		s.Text = fmt.Sprintf("by the line %s to %s, port %d", line, quoted(target.Host), target.Port)
	}
	a.add(s)
	if !e.session(a, &target, host) {
		return
	}
	way, failure := e.finder.Find(context.Background(), target)
	e.records(a, target, way)
	if failure != nil {
		result := Deferred
		if failure.Permanent {
			result = Bounced
		}
		a.stop(Step{Step: "addresses", Match: target.Host, Text: strings.ReplaceAll(failure.Text, "\n", " ")}, result)
		return
	}
	e.candidates(a, way.Candidates, target.Port)
}

// meanings are what the policies of control/tlsroutes do.
var meanings = map[nexthop.Policy]string{
	nexthop.None:     "no TLS",
	nexthop.May:      "TLS where the server offers it and it works",
	nexthop.Require:  "no mail without TLS",
	nexthop.Verify:   "no mail without TLS and a certificate for the name",
	nexthop.Implicit: "TLS from the first byte, and no mail without a certificate for the name",
}

// session tells by what sessions mail for the host goes: the policy for TLS and the
// user to log in as. It is false where mail waits because of that.
func (e *Explainer) session(a *Address, t *nexthop.Target, host string) bool {
	s := Step{Step: "tlsroutes", Outcome: Applies, File: "control/tlsroutes"}
	lines, _, err := e.control.List("tlsroutes")
	if err != nil {
		s.Text = cause(err)
		a.stop(s, e.unreadable(err))
		return false
	}
	policies, err := nexthop.ParsePolicies(lines)
	if err != nil {
		s.Text = err.Error()
		a.stop(s, Deferred)
		return false
	}
	var found bool
	t.TLS, s.Match, found = policies.Of(host, t.User)
	s.Value = t.TLS.String()
	switch {
	case found:
		s.Text = fmt.Sprintf("by the line %s:%s %s", s.Match, s.Value, meanings[t.TLS])
	case t.User != "":
		s.Text = "no line applies, and there is a user: " + meanings[t.TLS]
	default:
		s.Outcome, s.Text = Passes, "no line applies: "+meanings[t.TLS]
	}
	a.add(s)
	return e.login(a, *t)
}

// login tells who qmail-remote says that it is, and nothing of the secret.
func (e *Explainer) login(a *Address, t nexthop.Target) bool {
	if t.User == "" {
		return true
	}
	s := Step{Step: "remotesecrets", Outcome: Applies, File: "control/remotesecrets", Match: t.User}
	lines, _, err := e.control.Secrets("remotesecrets")
	if err != nil {
		s.Text = cause(err)
		if errors.Is(err, control.ErrExposed) {
			s.Text = control.ErrExposed.Error()
		}
		if e.unreadable(err) == Unseen {
			s.Outcome, s.Text = Hidden, "whether there is a secret for "+quoted(t.User)+": "+s.Text
			a.add(s)
			return true
		}
		a.stop(s, Deferred)
		return false
	}
	secret, ok := nexthop.FindSecret(lines, t)
	if !ok || secret == "" {
		s.Text = fmt.Sprintf("there is no secret for %s at %s", quoted(t.User), quoted(t.Host))
		a.stop(s, Deferred)
		return false
	}
	s.Text = "logs in as " + quoted(t.User)
	a.add(s)
	return true
}

// records tells what the DNS says, and what of it is this host itself.
func (e *Explainer) records(a *Address, t nexthop.Target, w nexthop.Way) {
	for _, x := range w.Exchangers {
		s := Step{Step: "MX", Outcome: Applies, Match: x.Host, Value: list(x.Addrs)}
		s.Text = fmt.Sprintf("%d %s: %s", x.Pref, quoted(x.Host), s.Value)
		if len(x.Addrs) == 0 {
			s.Outcome, s.Text = Passes, fmt.Sprintf("%d %s: no address", x.Pref, quoted(x.Host))
		}
		if x.Err != nil {
			s.Text += ", " + x.Err.Error()
		}
		a.add(s)
	}
	if len(w.Exchangers) == 0 && len(w.Candidates)+len(w.PassedOver) > 0 {
		a.add(Step{Step: "addresses", Outcome: Applies, Match: t.Host, Text: "of " + quoted(t.Host) + " itself"})
	}
	for _, c := range w.Mine {
		a.add(Step{Step: "me", Outcome: Applies, Match: c.Addr.String(),
			Text: fmt.Sprintf("%s, preference %d, is this host: what is not better is not tried", c.Addr, c.Pref)})
	}
	for _, c := range w.PassedOver {
		a.add(Step{Step: "passed over", Outcome: Passes, Match: c.Addr.String(), Text: fmt.Sprintf("%s, preference %d", c.Addr, c.Pref)})
	}
}

func list(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}

// candidates tells which addresses are tried, in their order, and which are left
// alone for now since they did not answer of late.
func (e *Explainer) candidates(a *Address, candidates []nexthop.Candidate, port uint16) {
	e.readSpared()
	if e.sparedErr != nil {
		a.add(Step{Step: "tcpto", Outcome: Hidden, File: "queue/lock/tcpto",
			Text: "which addresses did not answer of late: " + cause(e.sparedErr)})
	}
	tried := 0
	for _, c := range candidates {
		s := Step{Step: "try", Outcome: Applies, Match: c.Addr.String(), Value: netip.AddrPortFrom(c.Addr, port).String()}
		s.Text = fmt.Sprintf("%s, preference %d", s.Value, c.Pref)
		now := e.p.Now()
		if entry, known := e.spared[c.Addr.String()]; known {
			s.File = "queue/lock/tcpto"
			s.Text += fmt.Sprintf(", %d timeouts, last %s", entry.Count, entry.Last.Format(time.RFC3339))
			if first, last, ok := entry.Spared(); ok && now.Before(last) {
				s.Text += fmt.Sprintf(": left alone by all until %s, by none from %s", first.Format(time.RFC3339), last.Format(time.RFC3339))
				if now.Before(first) {
					s.Outcome = Refuses
				}
			}
		}
		if s.Outcome == Applies {
			tried++
		}
		a.add(s)
	}
	if tried == 0 {
		a.end(Deferred, "every address is left alone for now")
		return
	}
	a.end(Remote, "")
}

// readSpared reads the tcpto file, once.
func (e *Explainer) readSpared() {
	if e.sparedRead {
		return
	}
	e.sparedRead = true
	entries, err := tcpto.In(conf.Home).Entries()
	e.sparedErr = err
	e.spared = map[string]tcpto.Entry{}
	for _, entry := range entries {
		e.spared[entry.Addr.String()] = entry
	}
}
