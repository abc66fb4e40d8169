//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"quail/internal/privs"
)

// calls has a local user call sendmail 500 times, one call after the other.
func (b *bench) calls(h *host) (figures, error) {
	n := min(500, b.messages)
	a, err := h.arrivals()
	if err != nil {
		return nil, err
	}
	defer a.close()
	before, err := h.group.cpu()
	if err != nil {
		return nil, err
	}
	own, wall, err := h.call(n, h.sendmail, local)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(a.wait(n), h.settled()); err != nil {
		return nil, err
	}
	after, err := h.group.cpu()
	if err != nil {
		return nil, err
	}
	empty, _, err := h.call(n, "/mnt/scratch/empty")
	each := 1e3 / float64(n)
	return figures{callWall: wall.Seconds() * each, callCPU: own.Seconds() * each, allCPU: (after - before) * each,
		startup: empty.Seconds() * each}, err
}

// call runs a program n times as the bench's user, with a message to read. The CPU time
// is that of the program and all it has waited for; the group's has what it asked of
// daemons besides.
func (h *host) call(n int, args ...string) (cpu, wall time.Duration, err error) {
	g, err := newGroup(h.group, "callers")
	if err != nil {
		return 0, 0, err
	}
	dir, err := os.Open(string(g))
	if err != nil {
		return 0, 0, err
	}
	defer dir.Close()
	text := h.path("/message")
	if err := os.WriteFile(text, []byte(strings.ReplaceAll(message, "\r\n", "\n")), 0o644); err != nil {
		return 0, 0, err
	}
	start := time.Now()
	for range n {
		in, err := os.Open(text)
		if err != nil {
			return 0, 0, err
		}
		cmd := h.command(args...)
		cmd.Stdin = in
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: ownerID, Gid: ownerID}
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
		err = cmd.Run()
		in.Close()
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", args[0], err)
		}
		cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	return cpu, time.Since(start), nil
}

// crowd is how many idle connections Quail is to have, and gathering how many the others,
// which need a process for each or descriptors that they do not get. Of those that take
// more memory than is roomy, fewer are opened.
const (
	crowd     = 10_000
	gathering = 2_000
	roomy     = 2 << 20 // KiB
)

// affordable is how many connections a process can have that needs two descriptors for
// each, which tcpserver does.
func affordable() int {
	var limit syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) // cannot fail
	return int(limit.Max)/2 - 250
}

// crowded are all servers, ready for many connections.
func crowded(b *bench) []variant {
	all := servers(b)
	for i := range all {
		p := *all[i].peer
		p.connections = gathering + 100
		if p.name == "Quail" {
			p.connections = min(crowd, affordable()) + 100
		}
		all[i].peer = &p
	}
	return all
}

// idle opens connections that say nothing once they have been greeted. The server has
// been started for it: some keep the processes of earlier connections for a while.
func (b *bench) idle(h *host) (figures, error) {
	if err := errors.Join(h.stop(), h.start("")); err != nil {
		return nil, err
	}
	var open []*session
	defer func() {
		for _, s := range open {
			s.conn.Close()
		}
	}()
	used := 0.0
	for len(open) < h.connections-100 && used < roomy {
		for range 250 {
			s, err := dial(h, fmt.Sprintf("127.1.0.%d", 1+len(open)/1000))
			if err != nil {
				return nil, fmt.Errorf("connection %d: %w", len(open)+1, err)
			}
			open = append(open, s)
		}
		// Where a connection is a process, looking at all of them often takes long.
		if len(open) == 250 || len(open)%1000 == 0 {
			used = h.front1().memory()
		}
	}
	used = h.front1().memory()
	return figures{kibEach: used / float64(len(open)), idle: float64(len(open))}, nil
}

// front1 is the group of what strangers talk to.
func (h *host) front1() group {
	for _, p := range h.running {
		if p.front {
			return group(filepath.Join(string(h.group), p.name))
		}
	}
	return h.group
}

// deferring is a domain whose host refuses connections.
const deferring = "deferring.example"

// qmails are the servers whose queue the bench knows how to fill.
func qmails(b *bench) []variant {
	return slices.DeleteFunc(servers(b), func(v variant) bool { return v.name != "Quail" && v.name != "qmail in C" })
}

func crowdedQmail(b *bench) []variant {
	return slices.DeleteFunc(crowded(b), func(v variant) bool { return v.name != "Quail" && v.name != "qmail in C" })
}

// withDeferred are the qmails, each with an empty queue and with one that has 20,000
// messages in it.
func withDeferred(b *bench) []variant {
	var out []variant
	for _, v := range qmails(b) {
		out = append(out, v, variant{v.peer, full, (*bench).fill})
	}
	return out
}

// full is the suffix of a host whose queue is full.
const full = " +20,000"

// fill puts messages into the queue that have been tried, and are to be tried again
// tomorrow. The time of the recipients' file says when, as after a restart.
func (b *bench) fill(h *host) error {
	queue := h.path("/bench/" + map[bool]string{true: "quail", false: "qmail"}[h.name == "Quail"] + "/queue")
	q, err := privs.Account("qmailq", "qmail")
	if err != nil {
		return err
	}
	s, err := privs.Account("qmails", "qmail")
	if err != nil {
		return err
	}
	tomorrow := time.Now().Add(24 * time.Hour)
	for range 20_000 {
		temporary := filepath.Join(queue, "pid", "bench")
		if err := os.WriteFile(temporary, []byte(strings.ReplaceAll(message, "\r\n", "\n")), 0o644); err != nil {
			return err
		}
		info, err := os.Stat(temporary)
		if err != nil {
			return err
		}
		id := info.Sys().(*syscall.Stat_t).Ino
		in := func(dir string) string { return filepath.Join(queue, dir, fmt.Sprint(id%23), fmt.Sprint(id)) }
		err = errors.Join(os.Rename(temporary, in("mess")), os.Chown(in("mess"), q.UID, q.GID),
			os.WriteFile(in("info"), []byte("Fsender@load.example\x00"), 0o600), os.Chown(in("info"), s.UID, s.GID),
			os.WriteFile(in("remote"), []byte("Tr@"+deferring+"\x00"), 0o600), os.Chown(in("remote"), s.UID, s.GID),
			os.Chtimes(in("remote"), tomorrow, tomorrow))
		if err != nil {
			return err
		}
	}
	return nil
}

// fronts are both tcpservers.
func fronts(b *bench) []variant {
	out := []variant{}
	for _, p := range b.peers {
		switch p.name {
		case "Quail":
			out = append(out, variant{peer: quailTCPServer(p.home)})
		case "ucspi-tcp":
			out = append(out, variant{peer: p})
		}
	}
	return out
}

// front opens connections and reads what the program behind each says.
func (b *bench) front(h *host) (figures, error) {
	n := b.messages
	start := time.Now()
	err := atOnceDo(atOnce, n, func(int) error {
		conn, err := net.Dial("tcp", h.address)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		_, err = io.ReadAll(conn)
		return err
	})
	return figures{connects: float64(n) / time.Since(start).Seconds()}, err
}

// atOnceDo does n things, some of them at once.
func atOnceDo(width, n int, do func(i int) error) error {
	var group sync.WaitGroup
	errs := make([]error, width)
	for w := range width {
		group.Go(func() {
			for i := w; i < n && errs[w] == nil; i += width {
				errs[w] = do(i)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// How the steady stream flows: so many sessions a second for so long, alone and not, in
// turns, since a percentile of few says more about the machine's moments than about a
// server.
const (
	pace        = 100
	duration    = 6 * time.Second
	turns       = 3
	slowClients = 1000
)

// slow measures how long sessions take in a steady stream, alone and beside clients that
// keep connections and do as little as they can with them.
func (b *bench) slow(h *host) (figures, error) {
	var alone, beside []float64
	for range turns {
		took, err := stream(h)
		if err != nil {
			return nil, err
		}
		alone = append(alone, took...)
		err = b.molest(h, func() error {
			took, err := stream(h)
			beside = append(beside, took...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return figures{calm: percentile(alone, 99), molested: percentile(beside, 99)}, nil
}

// molest does something while clients are there that are slow. They have a process of their
// own: who measures must not have to wait for them.
func (b *bench) molest(h *host, do func() error) error {
	slow := exec.Command("/proc/self/exe", "--molest", h.address)
	slow.Stderr = os.Stderr
	end, err := slow.StdinPipe()
	if err != nil {
		return err
	}
	ready, err := slow.StdoutPipe()
	if err == nil {
		err = slow.Start()
	}
	if err != nil {
		return err
	}
	if _, err = io.ReadFull(ready, make([]byte, len(allThere))); err == nil {
		err = do()
	}
	end.Close()
	return errors.Join(err, slow.Wait(), h.settled())
}

// allThere is what the process of slow clients says when they are at it.
const allThere = "ready\n"

// laggards is that process: slow clients of the service at an address, until its input ends.
func laggards(address string) error {
	h := &host{address: address}
	done := make(chan struct{})
	var group sync.WaitGroup
	conns := make([]*session, slowClients)
	err := atOnceDo(atOnce, slowClients, func(i int) (err error) {
		conns[i], err = dial(h, "127.1.1.1")
		return err
	})
	for i, s := range conns {
		if s != nil {
			group.Go(func() { dawdle(s, i%4, done) })
		}
	}
	if err == nil {
		time.Sleep(time.Second) // each has begun to be slow
		fmt.Print(allThere)
		_, err = io.Copy(io.Discard, os.Stdin)
	}
	close(done)
	for _, s := range conns {
		if s != nil {
			s.conn.Close()
		}
	}
	group.Wait()
	return err
}

// dawdle is one of four kinds of client: silent, a byte a second, a line of a message a
// second, nonsense every second without reading what is said to it.
func dawdle(s *session, kind int, done chan struct{}) {
	s.conn.SetDeadline(time.Time{})
	if kind == 2 {
		io.WriteString(s.conn, "HELO slow\r\nMAIL FROM:<>\r\nRCPT TO:<"+local+">\r\nDATA\r\n")
	}
	say := []string{"", "E", "slow\r\n", "NONSENSE\r\n"}[kind]
	time.Sleep(rand.N(time.Second)) // not all in step
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-done:
			tick.Stop()
			return
		case <-tick.C:
			io.WriteString(s.conn, say)
		}
	}
}

// stream sends messages at a steady pace, whether or not earlier ones are through, and
// returns how long they took, in ms.
func stream(h *host) ([]float64, error) {
	n := int(duration.Seconds()) * pace
	took, errs := make([]float64, n), make([]error, n)
	var group sync.WaitGroup
	tick := time.NewTicker(time.Second / pace)
	for i := range n {
		<-tick.C
		group.Go(func() {
			start := time.Now()
			errs[i] = send(h, "127.0.0.1", local)
			took[i] = time.Since(start).Seconds() * 1e3
		})
	}
	tick.Stop()
	group.Wait()
	return took, errors.Join(errs...)
}

// percentile returns what p of a hundred are below.
func percentile(all []float64, p int) float64 {
	slices.Sort(all)
	return all[len(all)*p/100]
}
