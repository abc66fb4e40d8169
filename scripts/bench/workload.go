//go:build linux

package main

import (
	"fmt"
	"time"
)

// figures are what one round of a workload has shown.
type figures map[metric]float64

// metric names a figure, with its unit.
type metric string

const (
	accepted   metric = "accepted a second"
	delivered  metric = "delivered a second"
	cpuEach    metric = "CPU a message, ms"
	recipients metric = "recipients a second"
	transacts  metric = "transactions"
	connects   metric = "connections a second"
	callWall   metric = "ms a call"
	callCPU    metric = "CPU of a call, ms"
	allCPU     metric = "CPU with the daemons, ms"
	kibEach    metric = "KiB a connection"
	idle       metric = "connections"
	calm       metric = "99th percentile, ms"
	molested   metric = "99th percentile with slow clients, ms"
	syncsEach  metric = "syncs a message"
	forksEach  metric = "forks a message"
	rest       metric = "memory at rest, MiB"
	busy       metric = "memory after, MiB"
	startup    metric = "CPU of a Go process start, ms"
)

// workload is one kind of work.
type workload struct {
	name, title string
	medium      string
	hosts       func(b *bench) []variant
	round       func(b *bench, h *host) (figures, error)
	columns     []metric
}

// variant is a peer as one workload wants it.
type variant struct {
	*peer
	suffix  string
	prepare func(b *bench, h *host) error // before the services start, or nil
}

// servers are all chosen peers that have a queue.
func servers(b *bench) []variant {
	var out []variant
	for _, p := range b.peers {
		if !p.front {
			out = append(out, variant{peer: p})
		}
	}
	return out
}

// workloads are all there are, in the order of the report.
var workloads = []workload{
	{"fresh", "SMTP to Maildir, one connection a message", inMemory, servers, (*bench).fresh,
		[]metric{accepted, delivered, cpuEach, rest, busy}},
	{"reused", "SMTP to Maildir, connections reused", inMemory, servers, (*bench).reused, []metric{accepted, delivered, cpuEach}},
	{"remote", "SMTP to a remote sink, one connection a message", inMemory, servers, (*bench).remote, []metric{accepted, delivered, cpuEach}},
	{"many", "one message to 1,000 recipients at one remote domain", inMemory, servers, (*bench).manyRemote, []metric{recipients, transacts}},
	{"local", "one message to 1,000 local recipients", inMemory, servers, (*bench).manyLocal, []metric{recipients}},
	{"sendmail", "sendmail called 500 times in a row", inMemory, servers, (*bench).calls, []metric{callWall, callCPU, allCPU, startup}},
	{"idle", "memory of idle SMTP connections", inMemory, crowded, (*bench).idle, []metric{kibEach, idle}},
	{"deferred", "SMTP to Maildir with 20,000 deferred messages in the queue", inMemory, withDeferred, (*bench).fresh, []metric{accepted, delivered}},
	{"slow", "a steady stream of messages beside 1,000 slow clients", inMemory, crowdedQmail, (*bench).slow, []metric{calm, molested}},
	{"front", "connections taken, each with a process of its own", inMemory, fronts, (*bench).front, []metric{connects}},
	{"disk", "SMTP to Maildir, one connection a message, with real syncs", journaled, servers, (*bench).fresh, []metric{accepted, delivered, cpuEach}},
	{"counts", "SMTP to Maildir under strace", journaled, servers, (*bench).counts, []metric{syncsEach, forksEach}},
}

// local is the address of the one mailbox.
const local = owner + "@" + domain

func (b *bench) fresh(h *host) (figures, error)  { return b.maildir(h, h.share, false) }
func (b *bench) reused(h *host) (figures, error) { return b.maildir(h, h.share, true) }

// maildir sends n messages and waits until all are in the mailbox.
func (b *bench) maildir(h *host, n int, reuse bool) (figures, error) {
	before, used := h.group.memory(), h.group.programs()
	a, err := h.arrivals()
	if err != nil {
		return nil, err
	}
	defer a.close()
	m, err := b.timed(h, n, func() error { return b.flood(h, n, reuse, local) }, func() error { return a.wait(n) })
	if err != nil {
		return nil, err
	}
	h.group.spent(m, used, n)
	m[rest], m[busy] = before/1024, h.group.memory()/1024
	return m, nil
}

func (b *bench) remote(h *host) (figures, error) {
	want := b.sink.recipients.Load() + int64(h.share)
	return b.timed(h, h.share, func() error { return b.flood(h, h.share, false, "r@"+remotely) },
		func() error { return b.sunk(want) })
}

// timed sends n messages and waits until they have arrived.
func (b *bench) timed(h *host, n int, send, arrive func() error) (figures, error) {
	cpu, err := h.group.cpu()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := send(); err != nil {
		return nil, err
	}
	sent := time.Since(start)
	if err := arrive(); err != nil {
		return nil, err
	}
	all := time.Since(start)
	if err := h.settled(); err != nil {
		return nil, err
	}
	after, err := h.group.cpu()
	if err != nil {
		return nil, err
	}
	return figures{
		accepted: float64(n) / sent.Seconds(), delivered: float64(n) / all.Seconds(),
		cpuEach: (after - cpu) * 1e3 / float64(n),
	}, nil
}

// settled waits until a server has nothing left to do, such as removing what it has
// delivered: until it uses next to no CPU time.
func (h *host) settled() error {
	last, err := h.group.cpu()
	if err != nil {
		return err
	}
	return until(h.title()+" to come to rest", func() bool {
		time.Sleep(200 * time.Millisecond)
		now, _ := h.group.cpu()
		quiet := now-last < 0.005
		last = now
		return quiet
	})
}

// thousand are addresses at a domain.
func thousand(domain string) []string {
	out := make([]string, 1000)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%d@%s", owner, i, domain)
	}
	return out
}

func (b *bench) manyRemote(h *host) (figures, error) {
	before, want := b.sink.transactions.Load(), b.sink.recipients.Load()+1000
	m, err := b.timed(h, 1, func() error { return send(h, "127.0.0.1", thousand(remotely)...) }, func() error { return b.sunk(want) })
	if err != nil {
		return nil, err
	}
	m[recipients] = 1000 * m[delivered]
	m[transacts] = float64(b.sink.transactions.Load() - before)
	return m, nil
}

func (b *bench) manyLocal(h *host) (figures, error) {
	a, err := h.arrivals()
	if err != nil {
		return nil, err
	}
	defer a.close()
	m, err := b.timed(h, 1, func() error { return send(h, "127.0.0.1", thousand(domain)...) }, func() error { return a.wait(1000) })
	if err != nil {
		return nil, err
	}
	m[recipients] = 1000 * m[delivered]
	return m, nil
}

// counts sends a few messages under strace and counts what it saw meanwhile.
func (b *bench) counts(h *host) (figures, error) {
	n := min(h.share, 200)
	before, err := h.count("/trace")
	if err != nil {
		return nil, err
	}
	if _, err := b.maildir(h, n, false); err != nil {
		return nil, err
	}
	after, err := h.count("/trace")
	if err != nil {
		return nil, err
	}
	return figures{syncsEach: float64(after.syncs-before.syncs) / float64(n), forksEach: float64(after.forks-before.forks) / float64(n)}, nil
}
