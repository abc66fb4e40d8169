// Package remote is qmail-remote: it takes one message to one host by SMTP and
// says what became of it. See spec "Remote delivery".
//
// What it says goes to descriptor 1, each report ended by a zero byte: one a
// recipient, in the order of the arguments, if it came to that,
//
//	r          accepted
//	hTEXT      refused for good
//	sTEXT      refused for now
//
// and at the end one for the message: KTEXT accepted, ZTEXT try again, DTEXT
// return it. The exit status is always 0.
//
// A process that is kept warm has many jobs at once, one goroutine each. What becomes
// of one is what would have become of it alone, but they share their way:
//
//   - Jobs of one message, sender and host form a group (group.go), which is one
//     transaction (transaction.go). The first one leads, that is, does everything
//     (lead.go); the others wait for their verdicts.
//   - Sessions go from group to group (pool.go). Between transactions nothing is said,
//     but RSET where the last one ended in the middle. A server that has ended the
//     session meanwhile costs a new connection and no mail.
//   - control/remotelimits says what one host is to be spared (limits.go).
//
// Who waits for whom: a member for its leader; a leader for its session's server, each
// time for as long as the configured times say; for a session where remotelimits allows
// only so many, for limitWait; and for the group before it of the same message, for
// a second.
//
// The enemy is the other host and whoever writes its DNS records. Nothing it
// sends is kept beyond a bound, no single wait for it is longer than the
// configured times, and no message can be made to speak SMTP commands. A host
// that misbehaves gets its mail later or not at all; K is said only after a reply
// to the final dot.
package remote

import (
	"sync"

	"quail/internal/addrwatch"
	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/fault"
	"quail/internal/localaddr"
	"quail/internal/nexthop"
	"quail/internal/prog"
	"quail/internal/resolve"
	"quail/internal/warm"
)

// Run is qmail-remote with one job.
func Run(p *prog.Process) error {
	r := Remote{Resolver: &resolve.Resolver{}, Local: localaddr.Local, Port: 25}
	return r.Deliver(p)
}

// Program returns qmail-remote for a process that may be warm: then its jobs share
// what Keep lets them share, and this host's addresses and the answers of name
// servers are not asked for again and again. end is to be called after the last job.
//
// A wall knows files by what they are, not by their names: a process whose
// resolv.conf, control directory or list of authorities has been replaced could not
// open the new one.
func Program() (run func(*prog.Process) error, end func()) {
	var first sync.Once
	authorities := bundle()
	walled := outside(authorities)
	r := &Remote{Port: 25, Keep: new(Keep)}
	run = func(p *prog.Process) error {
		if !p.Warm {
			return Run(p)
		}
		if !walled.Same(outside(authorities)) {
			return warm.Outdated
		}
		first.Do(func() {
			r.Resolver = &resolve.Resolver{Cache: &resolve.Cache{Now: p.Now}}
			r.Local = new(addrwatch.Watch).Local
		})
		return r.Deliver(p)
	}
	return run, r.Keep.pool.end
}

// outside is what the wall of the process has openings for.
func outside(authorities string) control.Stamp {
	return control.Dir("/").Stamp("etc/resolv.conf", conf.Home+"/control", authorities)
}

// Remote is what a delivery uses of its host.
type Remote struct {
	Resolver *resolve.Resolver
	Local    func() (localaddr.Set, error) // this host's own addresses
	Port     uint16                        // where hosts listen unless a route says otherwise
	Keep     *Keep                         // what jobs share; nil where there is one
}

// Keep is what many jobs, all at once or one after another, share: the zero value
// is ready to be used.
type Keep struct {
	settings  settings
	gathering gathering
	pool      pool
	rates     rates
	texts     sync.Pool // of textBuffers
}

// verdict is a report about the message: its letter and text. The empty one means
// that nothing has been decided.
type verdict string

// Verdicts that need no host to be named.
const (
	usage        verdict = "DI (qmail-remote) was invoked improperly. (#5.3.5)\n"
	noHome       verdict = "ZUnable to switch to home directory. (#4.3.0)\n"
	noControls   verdict = "ZUnable to read control files. (#4.3.0)\n"
	limited      verdict = "ZSorry, control/remotelimits lets no more mail go to that host for now. (#4.4.5)\n"
	noConnection verdict = "ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n"
	noMessage    verdict = "ZUnable to read message. (#4.3.0)\n"
	partialLine  verdict = "DSMTP cannot transfer messages with partial final lines. (#5.6.2)\n"
	lineBreak    verdict = "DSorry, I can't send an address with a line break in it. (#5.1.3)\n"
)

// noSystem is the report about mail that cannot be sent for lack of something here.
var noSystem = verdictOf(nexthop.ErrSystem)

// verdictOf is the report about mail that has no address to go to.
func verdictOf(f *nexthop.Failure) verdict {
	if f.Permanent {
		return verdict("D" + f.Text + "\n")
	}
	return verdict("Z" + f.Text + "\n")
}

// Deliver does one delivery: arguments HOST SENDER RECIPIENT..., message on
// Stdin, reports on Stdout. Who cannot be told is not told. It fails only where
// the job that it shared a transaction with did.
func (r *Remote) Deliver(p *prog.Process) error {
	fault.In(p.Args...)
	if len(p.Args) < 3 {
		say(p, nil, usage)
		return nil
	}
	m := newMail(p)
	c, v := r.controls(p.Now())
	switch {
	case v != "":
		m.end(v)
	case m.breaksLine():
		m.end(lineBreak)
	default:
		target, _ := nexthop.Route(c.routes, p.Args[0], r.Port)
		target.TLS, _, _ = c.policies.Of(p.Args[0], target.User)
		r.take(m, c, target)
	}
	if m.err != nil {
		return m.err
	}
	say(p, m.reports.Bytes(), m.verdict)
	return nil
}

// say writes the reports, all at once.
func say(p *prog.Process, recipients []byte, v verdict) {
	p.Stdout.Write(append(append(recipients, v...), 0))
}

// take has the mail's verdict made, by this job or by another one that it shares a
// transaction with.
func (r *Remote) take(m *mail, c controls, t nexthop.Target) {
	if r.Keep == nil {
		r.lead(&group{controls: c, target: t, first: m, mails: []*mail{m}})
		return
	}
	if g, mine := r.Keep.gathering.join(m, c, t); mine {
		r.lead(g)
	}
	for g := <-m.orders; g != nil; g = <-m.orders {
		r.lead(g)
	}
}
