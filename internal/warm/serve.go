package warm

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/crew"
	"quail/internal/nowait"
	"quail/internal/prog"
)

// Bounds are those of a program's process while it is warm.
type Bounds struct {
	Jobs   int   // at once; further ones are another process's
	Life   int   // jobs after which the process is replaced
	Memory int64 // bytes that the garbage collector tries to stay below
	// Files, if not 0, is how many descriptors a job may hold. Of jobs for which there
	// would be too few a process takes less at once.
	Files int
	// Polled has the sockets among a job's descriptors not block, so that the runtime waits
	// for them. A job that is declined or becomes another program gives them back as they
	// were.
	Polled bool
	// Wall, if not nil, is built around a process that is warm and no other: one that
	// serves a single job may have to run programs.
	Wall prog.Option
	// End, if not nil, is called when the last job is done.
	End func()
}

// Main is prog.Main for a program that can be kept warm. If its parent wants it to be,
// the options are applied once and then run is called for each job, many at once;
// else run is called once.
func Main(name string, run func(*prog.Process) error, b Bounds, options ...prog.Option) {
	prog.Main(name, func(p *prog.Process) error {
		version, asked := p.Env.Lookup(variable)
		if !asked {
			return run(p)
		}
		p.Env = p.Env.Without(variable)
		if version != Version {
			return fmt.Errorf("no version %s of the warm protocol here", version)
		}
		s, err := inherited()
		if err != nil {
			return err
		}
		if b.Wall != nil {
			if err := b.Wall(p); err != nil {
				return err
			}
		}
		return serve(p, s, run, b)
	}, options...)
}

// server is a warm process.
type server struct {
	p      *prog.Process
	s      *socket
	run    func(*prog.Process) error
	slots  chan struct{} // one entry a job
	crew   *crew.Crew    // does the jobs
	jobs   sync.WaitGroup
	tired  sync.Once
	polled bool
	closer nowait.Closer
	done   atomic.Int64
	tidy   tidy
}

// serve takes jobs until the parent has no more, and ends when all are done.
func serve(p *prog.Process, s *socket, run func(*prog.Process) error, b Bounds) error {
	debug.SetMemoryLimit(b.Memory)
	prog.Frugal(p)
	jobs := b.jobs()
	sv := &server{p: p, s: s, run: run, slots: make(chan struct{}, jobs), crew: crew.New(spare), polled: b.Polled, closer: nowait.Closer{Null: p.Stdin}}
	sv.announce()
	// A file that may not become so large is the trouble of one job: caught, the signal
	// leaves it an error.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ)
	if err := sv.say(message{kind: typeGreeting, number: jobs}); err != nil {
		return err
	}
	in, room := newBuffer(maxPacket), make([]byte, room)
	for taken := 1; ; taken++ {
		sv.slots <- struct{}{}
		record, descriptors, err := s.receive(in, room)
		if err != nil { // the parent is gone, or no parent of ours
			break
		}
		j, err := parseJob(record, len(descriptors))
		if err != nil {
			closeAll(descriptors)
			sv.jobs.Wait()
			return err
		}
		sv.jobs.Add(1)
		sv.crew.Go(func() { sv.job(j, descriptors) })
		if taken == b.Life {
			sv.retire()
		}
	}
	sv.jobs.Wait()
	if b.End != nil {
		b.End()
	}
	return nil
}

// spare is how many goroutines wait for jobs.
const spare = 32

// own is how many descriptors a process has for itself.
const own = 16

// jobs returns how many jobs the process takes at once.
func (b Bounds) jobs() int {
	var limit syscall.Rlimit
	if b.Files == 0 || syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return b.Jobs
	}
	return min(b.Jobs, max(1, (int(limit.Cur)-own)/b.Files))
}

// announce has the process say on SIGUSR1 what it is doing.
func (sv *server) announce() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			fmt.Fprintf(sv.p.Stderr, "%s: process %d: %d jobs in hand, %d done; %d goroutines\n",
				sv.p.Name, sv.p.PID, len(sv.slots)-1, sv.done.Load(), runtime.NumGoroutine())
		}
	}()
}

// retire asks for no more jobs. To ask again would be against the rules.
func (sv *server) retire() {
	sv.tired.Do(func() { sv.say(message{kind: typeRetire}) })
}

// say sends a message. Where the parent is gone nobody wants it.
func (sv *server) say(m message) error { return sv.s.send(m.record(), nil) }

// Pause is what a job returns, as its error, that is not over but has to wait, perhaps
// for long, and needs no goroutine for that. Wait must not wait itself but have resume
// called, once, when there is something to do. Then is what the job goes on with.
type Pause struct {
	Wait func(resume func())
	Then func(*prog.Process) error
}

func (*Pause) Error() string { return "pause" }

// job begins a job.
func (sv *server) job(j job, descriptors []int) {
	p, files := sv.process(j, descriptors)
	sv.step(p, files, sv.run)
}

// step runs a job up to its next pause or its end, for which it answers.
func (sv *server) step(p *prog.Process, files []*os.File, run func(*prog.Process) error) {
	sv.tidy.begun()
	err := p.Call(run)
	var pause *Pause
	if errors.As(err, &pause) {
		pause.Wait(func() { sv.step(p, files, pause.Then) })
		return
	}
	defer func() {
		<-sv.slots
		sv.done.Add(1)
		sv.jobs.Done()
	}()
	m := message{kind: typeDone, number: p.PID}
	var become *prog.Become
	if errors.Is(err, Outdated) {
		sv.retire()
	}
	switch {
	case errors.Is(err, Declined):
		m.kind = typeDeclined
	case errors.As(err, &become):
		m.kind, m.dir, m.args, m.env = typeBecome, become.Dir, become.Args, become.Env
		if m.dir == "" {
			m.dir = p.Dir
		}
	default:
		m.status = p.Conclude(err) << 8
	}
	if sv.polled && m.kind != typeDone {
		for _, f := range files {
			setBlocking(f)
		}
	}
	// Before the answer: who waits for the end of a pipe must see it by then.
	for _, f := range files {
		sv.closer.Close(f)
	}
	if len(m.record()) > maxMessage {
		m = message{kind: typeDone, number: p.PID, status: prog.StatusTemporary << 8}
	}
	sv.say(m)
}

// process returns what the job sees as its process, and the files that came with it.
func (sv *server) process(j job, descriptors []int) (*prog.Process, []*os.File) {
	files := make([]*os.File, len(descriptors))
	for i, fd := range descriptors {
		if sv.polled && isSocket(fd) {
			nowait.Fcntl(fd, unix.F_SETFL, unix.O_NONBLOCK)
		}
		files[i] = os.NewFile(uintptr(fd), "descriptor of a job")
	}
	own := []*os.File{sv.p.Stdin, sv.p.Stdout, sv.p.Stderr}
	at := make([]*os.File, len(j.descriptors))
	for i, d := range j.descriptors {
		switch {
		case d >= 0:
			at[i] = files[d]
		case d == shared && i < len(own):
			at[i] = own[i]
		}
	}
	return &prog.Process{
		Name: filepath.Base(j.args[0]), Args: j.args[1:], Env: j.env, Dir: j.dir,
		Stdin: at[0], Stdout: at[1], Stderr: at[2], Extra: at[3:],
		UID: sv.p.UID, PID: j.number, Warm: true, Walled: sv.p.Walled,
		Now: sv.p.Now,
	}, files
}

// isSocket reports whether a descriptor is a socket.
func isSocket(fd int) bool {
	var st unix.Stat_t
	return nowait.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK
}

// setBlocking has a socket block, as its parent has handed it over.
func setBlocking(f *os.File) {
	if raw, err := f.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			if isSocket(int(fd)) {
				unix.SetNonblock(int(fd), false)
			}
		})
	}
}
