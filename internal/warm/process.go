package warm

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"quail/internal/proc"
	"quail/internal/prog"
)

// patience is how long a program may take to say that it is ready.
const patience = 10 * time.Second

// errGone says that a process takes no jobs any more, and has not taken this one.
var errGone = errors.New("process takes no more jobs")

// process is a program that is kept warm. Its fields are guarded by the Keeper's
// lock.
type process struct {
	k       *Keeper
	id      identity
	child   *proc.Child
	logs    bool // our log is its descriptor 2
	s       *socket
	started time.Time

	ready    chan struct{} // closed when the greeting has come, or never will
	capacity int           // jobs at once; 0 before the greeting
	reserved int           // jobs in hand or on the way there
	sequence int
	jobs     map[int]held
	retired  bool // gets no more jobs
	tired    bool // has asked for that itself
	ended    bool // has been told so, having none in hand
	timer    *time.Timer
}

// held is a job that a process has in its hands.
type held struct {
	c    Command
	done Done
}

// begin starts the program of c as a warm process.
func (k *Keeper) begin(id identity, c Command) (*process, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		ours.close()
		return nil, err
	}
	defer null.Close()
	program := Command{
		Args: []string{id.path},
		Env:  prog.Env{variable + "=" + Version},
		Dir:  "/", Stdin: null, Stdout: null, Stderr: k.Log,
		Extra: []*os.File{theirs},
		As:    c.As,
	}
	if c.As != nil { // our log is not for other users to write to
		program.Stderr = null
	}
	if c.Here { // perhaps the only way to the program
		program.Args[0], program.Dir, program.Here = c.Args[0], c.Dir, true
	}
	child, err := program.Start()
	if err != nil {
		ours.close()
		return nil, err
	}
	p := &process{
		k: k, id: id, child: child, logs: c.As == nil, s: ours, started: k.Now(),
		ready: make(chan struct{}), jobs: map[int]held{},
	}
	go p.serve()
	return p, nil
}

// room reports whether the process may get one job more. One that has not said yet
// how many it takes gets all, which then wait for its word.
func (p *process) room() bool {
	return !p.retired && (p.capacity == 0 || p.reserved < p.capacity)
}

// hand gives a reserved place to a job. errGone says that the process does not take
// it; any other error that no process can.
func (p *process) hand(c Command, done Done) (number int, err error) {
	<-p.ready
	descriptors, attached := p.descriptors(c)
	p.k.mu.Lock()
	if p.capacity == 0 || p.ended || p.reserved > p.capacity {
		p.release()
		p.k.mu.Unlock()
		return 0, errGone
	}
	p.sequence++
	number = Number(p.child.PID, p.sequence)
	p.jobs[number] = held{c, done}
	p.k.counts.warm++
	p.k.mu.Unlock()
	err = p.send(job{number, c.Dir, c.Args, c.Env, descriptors}, attached)
	if err == nil {
		return number, nil
	}
	if p.take(number) == nil { // its end has been reported meanwhile
		return number, nil
	}
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	p.k.counts.warm--
	if err == errTooLong {
		return 0, err
	}
	p.retired = true
	return 0, errGone
}

// errTooLong says that a job does not fit a packet.
var errTooLong = errors.New("job is too long for a packet")

// send sends a job, waiting for as long as the process does not read.
func (p *process) send(j job, attached []int) error {
	record := j.record()
	if len(record) > maxPacket {
		return errTooLong
	}
	err := p.s.send(record, attached)
	if tooLong(err) {
		return errTooLong
	}
	return err
}

// descriptors names those of a command, and those to be sent along.
func (p *process) descriptors(c Command) (names, attached []int) {
	all := []proc.Descriptor{c.Stdin, c.Stdout, c.Stderr}
	for _, f := range c.Extra {
		all = append(all, f)
	}
	for i, d := range all {
		fd := proc.Number(d)
		n := slices.Index(attached, fd)
		switch {
		case fd < 0:
			n = closed
		case i == 2 && d == proc.Descriptor(p.k.Log) && p.logs:
			n = shared
		case n < 0:
			n = len(attached)
			attached = append(attached, fd)
		}
		names = append(names, n)
	}
	return names, attached
}

// take removes a job from the hands of the process, if it is there, and returns what
// is to be told of its end.
func (p *process) take(number int) *held {
	p.k.mu.Lock()
	defer p.k.mu.Unlock()
	h, ok := p.jobs[number]
	if !ok {
		return nil
	}
	delete(p.jobs, number)
	p.release()
	return &h
}

// release gives a place back. A process without jobs is idle, or over if it is to get
// no more. The Keeper's lock is held, as in all that follows here.
func (p *process) release() {
	p.reserved--
	switch {
	case p.reserved > 0:
	case p.retired:
		p.end()
	default:
		p.timer = time.AfterFunc(p.k.Idle, func() {
			p.k.mu.Lock()
			defer p.k.mu.Unlock()
			p.retire()
		})
		p.k.idle = append(p.k.idle, p)
		if len(p.k.idle) > p.k.Spare {
			p.k.idle[0].retire()
		}
	}
}

// reserve takes a place for a job.
func (p *process) reserve() {
	p.reserved++
	p.wake()
}

// wake takes the process off the list of idle ones.
func (p *process) wake() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
		p.k.idle = slices.DeleteFunc(p.k.idle, func(other *process) bool { return other == p })
	}
}

// retire lets the process have no more jobs and end after those that it has.
func (p *process) retire() {
	p.retired = true
	if p.reserved == 0 {
		p.end()
	}
}

// end tells the process that there will be no more jobs. Its going is then expected,
// and seen to.
func (p *process) end() {
	p.wake()
	if !p.ended {
		p.ended = true
		p.s.finish()
		time.AfterFunc(patience, p.kill)
	}
}

// kill is harmless where the process is gone already.
func (p *process) kill() { p.child.Signal(syscall.SIGKILL) }

// serve reads what the process says until it is gone.
func (p *process) serve() {
	late := time.AfterFunc(patience, p.kill)
	broken := p.listen(late)
	late.Stop()
	p.k.mu.Lock()
	expected := p.ended
	p.k.mu.Unlock()
	if broken != nil || !expected {
		// What cannot be understood, or talked to, cannot be trusted with jobs either.
		p.kill()
	}
	status, err := p.child.Wait()
	p.s.close()
	p.bury(status, errors.Join(broken, err))
}

// listen takes messages until the socket ends. An error says that the process has
// broken the rules.
func (p *process) listen(late *time.Timer) error {
	for {
		record, _, err := p.s.receive(p.k.in, nil)
		if err != nil {
			return nil // ended; its status says how
		}
		m, err := parseMessage(record)
		if err != nil {
			return err
		}
		if err := p.heard(m, late); err != nil {
			return err
		}
	}
}

// heard acts on one message.
func (p *process) heard(m message, late *time.Timer) error {
	switch m.kind {
	case typeGreeting:
		late.Stop()
		p.k.mu.Lock()
		again := p.capacity != 0
		p.capacity = m.number
		p.k.mu.Unlock()
		if again {
			return errRecord
		}
		close(p.ready)
		return nil
	case typeRetire:
		p.k.mu.Lock()
		again := p.tired
		p.tired = true
		p.retire()
		p.k.mu.Unlock()
		if again { // each message it may send is the answer to something
			return errRecord
		}
		return nil
	}
	h := p.take(m.number)
	if h == nil {
		return fmt.Errorf("answer for job %d, which it does not have", m.number)
	}
	p.k.answer(*h, m)
	return nil
}

// answer passes the end of a job on, or has another program go on with it.
func (k *Keeper) answer(h held, m message) {
	switch m.kind {
	case typeDone:
		h.done(proc.StatusOf(m.status), nil)
		return
	case typeDeclined:
		k.count(&k.counts.declined)
		go k.carryOn(h, func() error { _, err := k.cold(h.c, h.done); return err })
	case typeBecome:
		c := h.c
		c.Args, c.Env, c.Search = m.args, m.env, nil
		c.Dir, c.Here = m.dir, c.Here && m.dir == c.Dir
		go k.carryOn(h, func() error { return k.become(c, h.done) })
	}
}

// become runs what a program wants to become. One that runs as another user may name
// any path: what is there is for that user to look at, by exec, and not for us.
func (k *Keeper) become(c Command, done Done) error {
	if c.As == nil {
		_, err := k.Start(c, done)
		return err
	}
	k.count(&k.counts.foreign)
	_, err := k.cold(c, done)
	return err
}

// carryOn goes on with a job elsewhere. If that fails the job ends as one whose exec
// failed.
func (k *Keeper) carryOn(h held, start func() error) {
	if err := start(); err != nil {
		k.warn("unable to run %s: %v", h.c.Args[0], err)
		h.done(proc.StatusOf(prog.StatusTemporary<<8), nil)
	}
}

// bury ends the jobs of a process that is no more. Each ends as the process did if a
// signal ended that, else with a temporary failure.
func (p *process) bury(end proc.Status, err error) {
	k := p.k
	k.mu.Lock()
	lost := p.jobs
	p.jobs = map[int]held{}
	p.wake()
	if p.capacity == 0 {
		close(p.ready)
	}
	all := k.keep[p.id]
	if all != nil {
		all.processes = slices.DeleteFunc(all.processes, func(other *process) bool { return other == p })
	}
	k.counts.lost += len(lost)
	if !p.ended || len(lost) > 0 || err != nil {
		k.mourn(all, p, fmt.Sprintf("process %d ended with status %d and %d jobs", p.child.PID, end.Raw(), len(lost)), err)
	}
	p.retired, p.ended = true, true
	k.forget(p.id)
	k.mu.Unlock()
	status := proc.StatusOf(prog.StatusTemporary << 8)
	if end.Crashed() {
		status = end
	}
	for _, h := range lost {
		h.done(status, nil)
	}
}
