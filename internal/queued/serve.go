package queued

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"quail/internal/conf"
	"quail/internal/durable"
	"quail/internal/envelope"
	"quail/internal/fault"
	"quail/internal/localsocket"
	"quail/internal/privs"
	"quail/internal/prog"
	"quail/internal/queue"
	"quail/internal/received"
	"quail/internal/sandbox"
	"quail/internal/submission"
	"quail/internal/warm"
)

// server is the half that takes messages.
type server struct {
	p     *prog.Process
	dir   queue.Dir
	words map[int]string // what the trace line says of the suite's own callers
	syncs *durable.Group
	slots *slots
	bufs  sync.Pool // of *buffers
	open  sync.WaitGroup

	mu       sync.Mutex // guards what follows
	idle     map[*os.File]bool
	stopping bool
	began    int // jobs so far
	done     int // messages queued
	refused  int // and not queued, for whatever reason
}

// buffers is the memory of a job.
type buffers struct {
	in       *bufio.Reader // of the connection
	envelope *bufio.Reader
	copy     []byte
}

// Sizes of buffers. What is usual, a message of a few kilobytes with its envelope,
// takes one read and one write.
const (
	inSize   = 8192
	copySize = 16384
)

// newServer returns a server of the queue dir. The accounts are read once: a wall
// stands between us and a password file that is replaced later.
func newServer(p *prog.Process, dir queue.Dir) (*server, error) {
	sv := &server{p: p, dir: dir, words: map[int]string{}, idle: map[*os.File]bool{}}
	trusted := map[int]bool{0: true}
	for _, a := range []struct{ user, words string }{
		// The last one counts where one account is several of the suite's.
		{conf.UserSend, received.ForBounce}, {conf.UserDaemon, received.FromNetwork}, {conf.UserAlias, received.ByAlias},
	} {
		uid, err := privs.User(a.user)
		if err != nil {
			return nil, err
		}
		trusted[uid] = true
		sv.words[uid] = a.words
	}
	sv.slots = newSlots(openFiles(), trusted)
	sv.syncs = durable.NewGroup(dir.Path("pid"), p.Now)
	sv.bufs.New = func() any {
		return &buffers{in: bufio.NewReaderSize(nil, inSize), envelope: bufio.NewReader(nil), copy: make([]byte, copySize)}
	}
	return sv, nil
}

// serve takes messages at the socket that is descriptor 0, until it is told to stop.
func serve(p *prog.Process, orphan <-chan struct{}) error {
	orders := make(chan os.Signal, 4)
	signal.Notify(orders, syscall.SIGTERM, syscall.SIGUSR1)
	dir := queue.In(conf.Home)
	if _, err := os.Stat(string(dir) + "/."); err != nil {
		return prog.Fail("unable to use the queue", err)
	}
	sv, err := newServer(p, dir)
	if err != nil {
		return err
	}
	listener, err := localsocket.Inherited(p.Stdin)
	if err != nil {
		return prog.Fail("unable to use descriptor 0", err)
	}
	wall := sandbox.Wall{Network: sandbox.Callers}
	for _, name := range []queue.Name{"pid", "mess", "intd", "todo", "lock"} {
		wall.Write = append(wall.Write, dir.Path(name))
	}
	if err := sandbox.Around(wall)(p); err != nil {
		return err
	}
	go func() {
		for {
			select {
			case order := <-orders:
				if order == syscall.SIGUSR1 {
					sv.report()
					continue
				}
			case <-orphan:
			}
			sv.stop(listener)
			return
		}
	}()
	err = sv.accept(listener)
	sv.open.Wait()
	sv.report()
	return err
}

// accept serves every caller in a goroutine, until the listener is stopped; then those
// who have called already.
func (sv *server) accept(listener *os.File) error {
	next, draining := localsocket.Accept, false
	for {
		c, err := next(listener)
		switch {
		case err == nil && sv.slots.connect(c.UID):
			sv.open.Add(1)
			go sv.connection(c)
		case err == nil:
			c.Close()
		case errors.Is(err, os.ErrDeadlineExceeded):
			if draining {
				return nil
			}
			next, draining = localsocket.Waiting, true
		case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM):
			if !sv.makeRoom() {
				return prog.Fail("unable to accept", err)
			}
			time.Sleep(firstPause) // until somebody has hung up
		default:
			return prog.Fail("unable to accept", err)
		}
	}
}

// stop ends the waiting for callers, and for messages of those that have none in hand.
func (sv *server) stop(listener *os.File) {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	sv.stopping = true
	past := sv.p.Now().Add(-time.Second)
	listener.SetReadDeadline(past)
	for c := range sv.idle {
		c.SetReadDeadline(past)
	}
}

// makeRoom hangs up on whoever has no message in hand: callers who keep a connection for
// later would otherwise keep those from being heard who have something to say now. Without
// a single connection there is no room to be made.
func (sv *server) makeRoom() bool {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	past := sv.p.Now().Add(-time.Second)
	for c := range sv.idle {
		c.SetReadDeadline(past)
	}
	return sv.slots.anybody()
}

// connection serves one caller.
func (sv *server) connection(c localsocket.Caller) {
	defer sv.open.Done()
	defer sv.slots.disconnect(c.UID)
	defer c.Close()
	for sv.await(c.File) {
		sv.slots.begin(c.UID)
		more := sv.message(c)
		sv.slots.end(c.UID)
		if !more {
			return
		}
	}
}

// await waits for the next message of a connection, and reports whether there is one.
// What has arrived when we are told to stop, or hang up, is one.
func (sv *server) await(c *os.File) bool {
	sv.mu.Lock()
	stopping := sv.stopping
	if !stopping {
		sv.idle[c] = true
		c.SetDeadline(sv.p.Now().Add(queue.Death))
	}
	sv.mu.Unlock()
	if !stopping && localsocket.Await(c) {
		sv.mu.Lock()
		delete(sv.idle, c)
		sv.mu.Unlock()
		return true
	}
	sv.mu.Lock()
	delete(sv.idle, c)
	sv.mu.Unlock()
	return localsocket.Arrived(c)
}

// message takes one message, and reports whether another one may follow.
func (sv *server) message(c localsocket.Caller) (more bool) {
	now := sv.p.Now()
	c.SetDeadline(now.Add(queue.Death))
	sv.mu.Lock()
	sv.began++
	number := warm.Number(sv.p.PID, sv.began)
	sv.mu.Unlock()
	b := sv.bufs.Get().(*buffers)
	b.in.Reset(c)
	r := submission.NewReader(b.in)
	b.envelope.Reset(r.Envelope())
	status := sv.enter(queue.Submission{
		PID: number, UID: c.UID, Start: now,
		Received: received.Queue(number, sv.invoker(c.UID), now),
		Message:  r.Message(), Envelope: b.envelope,
		Syncs: sv.syncs, Buffer: b.copy, Now: sv.p.Now,
	})
	more = status == envelope.StatusOK && r.Finished()
	b.in.Reset(nil)
	b.envelope.Reset(nil)
	sv.bufs.Put(b)
	sv.mu.Lock()
	if status == envelope.StatusOK {
		sv.done++
	} else {
		sv.refused++
	}
	sv.mu.Unlock()
	c.SetWriteDeadline(sv.p.Now().Add(queue.Death))
	var room [submission.AnswerSize]byte
	_, err := c.Write(submission.Answer{Status: status << 8, Number: number}.Append(room[:0]))
	return more && err == nil
}

// enter puts a message into the queue and returns the status of qmail-queue.
func (sv *server) enter(s queue.Submission) (status int) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(sv.p.Stderr, "qmail-queued: warning: internal error in job %d: %v\n", s.PID, r)
			status = envelope.StatusBug
		}
	}()
	fault.Of(s.UID)
	_, err := sv.dir.Enter(s)
	var failed *queue.StatusError
	switch {
	case err == nil:
		return envelope.StatusOK
	case errors.Is(err, os.ErrDeadlineExceeded):
		return envelope.StatusTimeout
	case errors.As(err, &failed):
		return failed.Status
	}
	return envelope.StatusBug
}

// invoker says in the trace line's words who the caller is.
func (sv *server) invoker(uid int) string {
	if words, own := sv.words[uid]; own {
		return words
	}
	return received.ByUID(uid)
}

// report says what has been done so far.
func (sv *server) report() {
	sv.mu.Lock()
	done, refused := sv.done, sv.refused
	sv.mu.Unlock()
	sv.slots.mu.Lock()
	held, waited, open, hungUp := sv.slots.held, sv.slots.waited, sv.slots.open, sv.slots.hungUp
	sv.slots.mu.Unlock()
	n := sv.syncs.Counts()
	fmt.Fprintf(sv.p.Stderr, "qmail-queued: jobs: %d done, %d refused, %d in hand, %d had to wait; connections: %d open, %d too many; syncs: %d made for %d asked for\n",
		done, refused, held, waited, open, hungUp, n.Syncs, n.Calls)
}
