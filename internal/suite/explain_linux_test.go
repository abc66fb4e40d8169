package suite

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"quail/internal/explain"
	"quail/internal/tcpto"
)

// Where mail goes by what a real name server says, and where it is said to go.
func TestExplainDNS(t *testing.T) {
	s, network, ok := named(t, zone+"fresh.test MX 10 well.test.\nfresh6.test MX 10 well.test.\nfresh6.test MX 20 six.test.\n", "")
	if !ok {
		return
	}
	network.there.serve(accepts4+":25", nil)
	network.there.serve("["+accepts6+"]:25", nil)
	s.control("timeoutconnect", "1\n")
	s.control("concurrencyremote", "50\n")
	s.control("smtproutes", ".routed.test:relay.test\n")
	s.start()
	var recipients []string
	said := map[string]*explain.Address{}
	for _, d := range destinations {
		if d.domain == "big.test" {
			continue // is not in this zone
		}
		recipient := "you@" + d.domain
		recipients = append(recipients, recipient)
		said[recipient] = s.explained(s.inside, nil, recipient)
	}
	// One that is this host's own in brackets is said to get a name, as by SMTP.
	delete(said, "you@["+myself+"]")
	s.enter("joe@"+me, recipients, "Subject: by dns\n\n")
	for recipient, a := range said {
		s.arrives(a, s.outcome(recipient, 1))
	}
	// The next ones find in the table that an address did not answer. They are at
	// domains that no connection is kept for.
	table := tcpto.In(home)
	for _, at := range []time.Duration{20 * time.Minute, 10 * time.Minute} {
		table.TimedOut(netip.MustParseAddr(accepts4), time.Now().Add(-at))
	}
	for _, recipient := range []string{"late@fresh.test", "late@fresh6.test"} {
		a := s.explained(s.inside, nil, recipient)
		if other := strings.Contains(recipient, "6"); other != (a.Result == explain.Remote) {
			t.Errorf("%s, whose address may not answer: %s", recipient, a.Result)
		}
		s.enter("joe@"+me, []string{recipient}, "Subject: by dns\n\n")
		s.arrives(a, s.outcome(recipient, 1))
	}
}

// arrives compares what was said about a remote address with its delivery.
func (s *suite) arrives(a *explain.Address, got string) {
	s.t.Helper()
	switch a.Result {
	case explain.Bounced, explain.Deferred:
		word, reason := "failure: ", a.Reason
		if a.Result == explain.Deferred {
			word = "deferral: "
		}
		if steps(a, "try") != nil { // all are left alone
			reason = "Sorry, I wasn't able to establish an SMTP connection."
		}
		if !strings.HasPrefix(got, word) || !strings.Contains(strings.ReplaceAll(got, "/", "_"), strings.ReplaceAll(safe(reason), "/", "_")) {
			s.t.Errorf("%s: said to be %s (%s), but %q", a.Address, a.Result, a.Reason, got)
		}
	case explain.Remote:
		// It is the first address in the order of trying that takes mail, if any does.
		want := safeOutcome(tired)
		for _, try := range steps(a, "try") {
			if try.Outcome == explain.Applies && (try.Match == accepts4 || try.Match == accepts6) {
				want = safeOutcome("success: " + try.Match + accepted)
				break
			}
		}
		if got != want {
			s.t.Errorf("%s: said to go to %+v, but %q", a.Address, steps(a, "try"), got)
		}
	default:
		s.t.Errorf("%s: said to be %s, but %q", a.Address, a.Result, got)
	}
}
