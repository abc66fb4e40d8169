package remote

import (
	"context"
	"errors"
	"net"
	"slices"

	"quail/internal/conf"
	"quail/internal/nexthop"
	"quail/internal/tcpto"
)

// errAbandoned is the error of jobs whose leader has failed.
var errAbandoned = errors.New("the job that led the transaction has failed")

// lead takes the mail of a group to its host. What it could not carry is handed to
// another leader, which goes on at once.
func (r *Remote) lead(g *group) {
	var rest *group
	returned := false
	// Done in a panic too: nobody may wait for a leader that is no more.
	defer func() {
		if r.Keep != nil {
			r.Keep.gathering.depart(g, rest) // so that nobody joins from here on
		}
		r.release(g, returned)
		for _, m := range g.mails {
			if rest == nil || !slices.Contains(rest.mails, m) {
				m.fail(errAbandoned) // unless it has its verdict
			}
		}
		if rest != nil {
			rest.first.orders <- rest
		}
	}()
	rest = r.carry(g)
	returned = true
}

// carry gives each mail of the group its verdict and returns a group of those that
// are left.
func (r *Remote) carry(g *group) (rest *group) {
	if r.Keep != nil {
		r.Keep.gathering.follow(g)
	}
	v := r.connect(g)
	if r.Keep != nil {
		if v == "" {
			r.Keep.gathering.gather(g)
		}
		r.Keep.gathering.close(g)
	}
	if v != "" {
		g.end(v)
		return nil
	}
	t := g.begun
	if t == nil {
		t = newTransaction(g.mails, r.Keep != nil)
	}
	if v := r.transact(g, t); v != "" {
		g.end(v)
		return nil
	}
	if len(t.moved) > 0 {
		rest = &group{controls: g.controls, target: g.target, first: t.moved[0], mails: t.moved}
		if g.session.reusable(g.first.now()) {
			rest.session, g.session = g.session, nil
		}
	}
	return rest
}

// ahead returns the first commands of a group that waits for the group's session, to
// be sent with the end of its text t. The session is that group's afterwards, in
// whatever state.
func (r *Remote) ahead(g *group, t *transaction) string {
	s := g.session
	if !s.pipelining || len(t.moved) > 0 || !s.reusable(g.first.now()) {
		return ""
	}
	g.heir = r.Keep.pool.next(s)
	if g.heir == nil {
		return ""
	}
	next := g.heir.group
	r.Keep.gathering.close(next)
	next.begun = newTransaction(next.mails, true)
	return next.begun.next(batch, s.size)
}

// transact carries t by the group's session. A server that turns out to have ended
// that before it took notice of this mail gets it by a new connection; there the
// mail is the first, so this happens once.
func (r *Remote) transact(g *group, t *transaction) verdict {
	now := g.first.now
	g.session.timeout = g.timeoutRemote
	if r.Keep != nil {
		g.session.ahead = func() string { return r.ahead(g, t) }
	}
	if g.session.carry(t, now) == nil {
		return ""
	}
	g.session.quit()
	s, v := r.open(g)
	if v != "" {
		r.drop(g)
		g.session = nil
		return v
	}
	g.session = s
	if r.Keep != nil {
		s.ahead = func() string { return r.ahead(g, t) }
	}
	t.rewind()
	s.carry(t, now)
	return ""
}

// end gives v to all mail of the group.
func (g *group) end(v verdict) {
	for _, m := range g.mails {
		m.end(v)
	}
}

// connect gives the group a session: one that has carried other mail, or a new one.
func (r *Remote) connect(g *group) verdict {
	if r.Keep == nil {
		return r.begin(g)
	}
	limit := g.limits.of(g.target.Host)
	now := g.first.now
	if !r.Keep.rates.admit(g.target.Key(), limit, now) {
		return limited
	}
	if g.session != nil {
		return ""
	}
	if !r.Keep.pool.take(g, limit.sessions) {
		return limited
	}
	if g.session != nil {
		return ""
	}
	// The right to open a session must come back whatever happens.
	defer func() {
		if g.session == nil {
			r.Keep.pool.drop(g.target.Key())
		}
	}()
	return r.begin(g)
}

// begin gives the group a new session.
func (r *Remote) begin(g *group) (v verdict) {
	g.session, v = r.open(g)
	return v
}

// open connects to the target and begins a session. Where TLS is offered, fails and may be
// done without, that is by a new connection.
func (r *Remote) open(g *group) (*session, verdict) {
	terms, v := g.terms()
	if v != "" {
		return nil, v
	}
	ctx := context.Background()
	first := g.first
	finder := nexthop.Finder{Resolver: r.Resolver, Local: r.Local}
	way, failure := finder.Find(ctx, g.target)
	if failure != nil {
		return nil, verdictOf(failure)
	}
	d := dialer{
		timeout: g.timeoutConnect,
		port:    g.target.Port,
		tcpto:   tcpto.In(conf.Home),
		now:     first.now,
		pid:     first.number ^ first.number>>22, // of a warm process its jobs differ in the high bits
	}
	a, v := d.first(ctx, way.Candidates)
	if v != "" {
		return nil, v
	}
	// From here on there is no other address to try, whatever happens.
	terms.name = a.Name
	s := r.session(g, a.conn, terms)
	v, err := s.greet()
	var failed *tlsFailure
	if errors.As(err, &failed) && !terms.tls.Insists() {
		s.socket.Close()
		if a.conn, err = d.dial(ctx, a.Addr); err != nil {
			return nil, noConnection
		}
		terms.tls = nexthop.None
		s = r.session(g, a.conn, terms)
		s.note = "Sent without TLS, which failed: " + reason(failed) + ".\n"
		v, err = s.greet()
	}
	if err != nil {
		s.broken = true
		if v = s.died(); errors.As(err, &failed) {
			v = s.noTLS(failed)
		}
	}
	if v != "" {
		s.quit()
		return nil, v
	}
	return s, ""
}

// session begins one by a connection that has been made.
func (r *Remote) session(g *group, conn net.Conn, t terms) *session {
	s := newSession(conn, g.heloHost, g.timeoutRemote, g.first.now)
	if r.Keep != nil {
		s.texts = &r.Keep.texts
	}
	s.target, s.terms = g.target.Key(), t
	return s
}

// release is done with the group's session, if it has one. One that is left in an
// unknown state is of no use to others.
func (r *Remote) release(g *group, known bool) {
	s := g.session
	if s == nil {
		return
	}
	g.session = nil
	s.broken = s.broken || !known
	s.ahead = nil
	switch {
	case r.Keep == nil:
		s.quit()
	case g.heir != nil:
		g.heir.turn <- handover{s, g.heir.group.begun}
	default:
		r.Keep.pool.put(s, g.first.now())
	}
}

// drop gives back the right to a session that could not be opened.
func (r *Remote) drop(g *group) {
	if r.Keep != nil {
		r.Keep.pool.drop(g.target.Key())
	}
}
