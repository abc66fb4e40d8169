// Package prog is how a program of the suite meets the system: what it was given
// (a Process) and how it ends (an error that carries an exit status).
//
// Every program is a function of its job. Arguments, environment, descriptors,
// working directory, identity and clock are values of a Process; nothing in the
// suite reads them from the operating system behind its caller's back. The same
// function can therefore run as a process of its own or as one of many jobs in a
// warm process, see package warm.
//
// A nil error is status 0. An error without a status of its own is temporary,
// 111: mail is delayed, never lost. Perm is written only where the code can say
// why trying again is useless.
//
// Differs from qmail: a crash is never a reason to bounce. A panic is 111 too, and
// what cannot be recovered dies by SIGABRT, which every caller in the suite takes
// for a crash, while the runtime's usual status 2 would be read as "return the mail
// to its sender".
package prog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	_ "quail/internal/conf" // so that every program carries the mark of its home
	"quail/internal/entry"
	"quail/internal/limits"
	"quail/internal/sigpipe"
)

// Exit statuses that the whole suite shares (spec "qmail-local", section 5).
const (
	StatusPermanent = 100
	StatusTemporary = 111
)

// Process is everything that exec gives to a program.
type Process struct {
	Name string   // as the user typed it: the last component of argv[0]
	Args []string // without argv[0]
	Env  Env
	Dir  string // working directory, absolute

	Stdin, Stdout, Stderr *os.File
	Extra                 []*os.File // descriptors 3, 4, …, where the program's contract has them

	UID int // real user id
	PID int // process id, or whatever number is unique to this job on the host

	// Warm says that other jobs share the process, see package warm: it must not be
	// turned into another program, and its descriptors are this job's alone.
	Warm bool
	// Walled says that the process can start no other, see package sandbox.
	Walled bool

	Now func() time.Time // the clock; UTC

	few bool // the number of processors is settled, by Single or Frugal
}

// Path resolves name against the working directory of the job. The name is left as it
// is: x/.. need not be nothing, since x may be a link, and no name is no file's.
func (p *Process) Path(name string) string {
	if name == "" || p.Dir == "" || filepath.IsAbs(name) {
		return name
	}
	return p.Dir + "/" + name
}

// Option changes how Main sets a process up. If it fails the program does not run.
type Option func(*Process) error

// Umask sets the file creation mask of the process. A program has one mask for
// all its jobs, so it belongs to main and not to a job.
func Umask(mask int) Option {
	return func(*Process) error {
		syscall.Umask(mask)
		return nil
	}
}

// Directory makes dir the working directory of the process, for programs that start
// others there.
func Directory(dir string) Option {
	return func(p *Process) error {
		if err := os.Chdir(dir); err != nil {
			return Fail("unable to switch to "+dir, err)
		}
		p.Dir = dir
		return nil
	}
}

// Descriptors makes the inherited descriptors 3 to n-1 available as Extra. One
// that is not a pipe or a socket is left out as nil: an unused number may be the
// runtime's own.
func Descriptors(n int) Option {
	return func(p *Process) error {
		for fd := 3; fd < n; fd++ {
			var f *os.File
			var st syscall.Stat_t
			if syscall.Fstat(fd, &st) == nil && isPipe(uint32(st.Mode)) {
				syscall.CloseOnExec(fd)
				f = os.NewFile(uintptr(fd), fmt.Sprintf("descriptor %d", fd))
			}
			p.Extra = append(p.Extra, f)
		}
		return nil
	}
}

func isPipe(mode uint32) bool {
	return mode&syscall.S_IFMT == syscall.S_IFIFO || mode&syscall.S_IFMT == syscall.S_IFSOCK
}

// Input makes the inherited descriptor fd available as the only one of Extra: nil if it
// is neither a pipe nor a socket nor a file.
func Input(fd int) Option {
	return func(p *Process) error {
		var f *os.File
		var st syscall.Stat_t
		if syscall.Fstat(fd, &st) == nil && (isPipe(uint32(st.Mode)) || st.Mode&syscall.S_IFMT == syscall.S_IFREG) {
			syscall.CloseOnExec(fd)
			f = os.NewFile(uintptr(fd), fmt.Sprintf("descriptor %d", fd))
		}
		p.Extra = []*os.File{f}
		return nil
	}
}

// Main runs the program that is this process and exits with its status.
func Main(name string, run func(*Process) error, options ...Option) {
	spread(0)
	env, one := entry.Environment(os.Environ())
	debug.SetTraceback("crash")
	sigpipe.Outlive()
	p := &Process{
		Name:   name,
		Args:   os.Args[1:],
		Env:    limits.Inherit(env),
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		UID:    os.Getuid(),
		PID:    os.Getpid(),
		Now:    func() time.Time { return time.Now().UTC() },
	}
	if len(os.Args) > 0 && os.Args[0] != "" {
		p.Name = filepath.Base(os.Args[0])
	}
	p.Dir, _ = syscall.Getwd() // "" if it is gone: then relative names fail when used
	end := profile(p)
	status := p.Do(func(p *Process) error {
		for _, o := range options {
			if err := o(p); err != nil {
				return err
			}
		}
		if one && !p.few {
			runtime.GOMAXPROCS(runtime.NumCPU())
		}
		return run(p)
	})
	end()
	os.Exit(status)
}

// spread gives the calling goroutine, at once, a stack of the size that programs need. By
// doubling it would be copied from one to the next, each out of a pool of its own, and
// the runtime touches all pages of a pool.
//
//go:noinline
func spread(depth int) (end byte) {
	if depth > 0 {
		var room [stack]byte // never made: to be able to is enough
		for i := range room {
			room[i] = byte(i / depth)
		}
		end = room[depth]
	}
	return end
}

// stack is more than half of a stack that the runtime takes from no pool, 32 kB.
const stack = 17 << 10

// Do runs the job that is this process and returns its exit status, having said on
// Stderr what there is to say. It never panics.
func (p *Process) Do(run func(*Process) error) (status int) {
	err := p.Call(run)
	var become *Become
	if errors.As(err, &become) {
		err = become.exec(p)
	}
	return p.Conclude(err)
}

// Call runs one job. A panic in it becomes an error, which is temporary.
func (p *Process) Call(run func(*Process) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error at %s: %v", panicSite(), r)
		}
	}()
	return run(p)
}

// Conclude returns the exit status that the outcome of a job stands for, having said
// on Stderr what there is to say.
func (p *Process) Conclude(err error) (status int) {
	if err == nil {
		return 0
	}
	f := &failure{status: StatusTemporary, err: err}
	errors.As(err, &f)
	if f.err != nil {
		fmt.Fprintf(p.Stderr, "%s: %s%v\n", p.Name, f.prefix(), err)
	}
	return f.status
}

// panicSite names the line that panicked: the first frame below the runtime's.
func panicSite() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	panicking := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicking = true
		case panicking && !isRuntime(f.Function):
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
		if !more {
			return "unknown place"
		}
	}
}

func isRuntime(function string) bool {
	return len(function) > 8 && function[:8] == "runtime."
}
