package warm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/nowait"
	"quail/internal/privs"
	"quail/internal/proc"
	"quail/internal/prog"
)

// Settings of a Keeper.
type Settings struct {
	// Idle is how long a process without jobs is kept, Spare how many such at most.
	Idle  time.Duration
	Spare int
	// Name is that of the program, and Log where its lines about warm programs go;
	// it is also what a warm program has for descriptor 2. Quiet: only what is asked
	// for by LogCounts goes there.
	Name  string
	Log   *os.File
	Quiet bool
	Now   func() time.Time
}

// Keeper runs commands and keeps the programs warm that can be.
type Keeper struct {
	Settings
	in   *buffer
	tidy tidy

	mu     sync.Mutex
	files  map[string]file          // programs looked at, by path
	keep   map[identity]*population // by program and user
	idle   []*process               // oldest first
	counts counts
}

// NewKeeper returns a Keeper. Its counts are logged each time the process gets
// SIGUSR1.
func NewKeeper(s Settings) *Keeper {
	k := &Keeper{Settings: s, in: newBuffer(maxMessage), files: map[string]file{}, keep: map[identity]*population{}}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			k.LogCounts()
		}
	}()
	return k
}

// Done takes the end of a command, or why it cannot be known. It must not wait for
// anything: the ends of others are behind it.
type Done func(proc.Status, error)

// counts are jobs so far, by how they were run.
type counts struct {
	warm     int // handed to a process
	declined int // of those, then run cold
	cold     int // that could have been warm, but for trouble
	foreign  int // of programs without the mark
	lost     int // of the warm ones, those whose process died
}

// identity is what jobs of one process have in common.
type identity struct {
	file file
	path string
	as   string
}

// file tells one version of a program from another.
type file struct {
	dev, ino uint64
	size     int64
	changed  unix.Timespec
	marked   bool
}

// population is the processes of one identity.
type population struct {
	processes []*process
	// After trouble nothing is started before retry; the pause doubles each time.
	retry time.Time
	pause time.Duration
}

// Pauses after a process died young.
const (
	minPause = 100 * time.Millisecond
	maxPause = 30 * time.Second
	young    = 10 * time.Second // a process that lives longer has done its duty
)

// LogCounts says how many jobs were run how.
func (k *Keeper) LogCounts() {
	k.mu.Lock()
	c := k.counts
	k.mu.Unlock()
	k.say("jobs: %d warm, %d declined, %d cold, %d foreign, %d lost; %d goroutines",
		c.warm, c.declined, c.cold, c.foreign, c.lost, runtime.NumGoroutine())
}

func (k *Keeper) say(format string, args ...any) {
	fmt.Fprintf(k.Log, k.Name+": "+format+"\n", args...)
}

// warn says that something went wrong.
func (k *Keeper) warn(format string, args ...any) {
	if !k.Quiet {
		k.say("warning: "+format, args...)
	}
}

// Start runs a command, warm if it can be, and has done called with its end. The
// number is the process id, or that of the job: then the command's files are needed
// until done is called. An error says, as that of Command.Start does, that nothing was
// run; then done is never called.
func (k *Keeper) Start(c Command, done Done) (number int, err error) {
	k.tidy.begun()
	f, path := k.look(c)
	if f.marked {
		if number, ok := k.warm(f, path, c, done); ok {
			return number, nil
		}
		k.count(&k.counts.cold)
	} else {
		k.count(&k.counts.foreign)
	}
	return k.cold(c, done)
}

func (k *Keeper) count(n *int) {
	k.mu.Lock()
	*n++
	k.mu.Unlock()
}

// cold runs a command in a process of its own.
func (k *Keeper) cold(c Command, done Done) (number int, err error) {
	child, err := c.Start()
	if err != nil {
		return 0, err
	}
	go func() { done(child.Wait()) }()
	return child.PID, nil
}

// warm hands a command to a process, a new one if need be. ok is false if that
// cannot be done now.
func (k *Keeper) warm(f file, path string, c Command, done Done) (number int, ok bool) {
	id := identity{f, path, as(c.As)}
	// A process that goes before it has the job costs nothing: there is another.
	for range 3 {
		p := k.process(id, c)
		if p == nil {
			return 0, false
		}
		number, err := p.hand(c, done)
		if err == nil {
			return number, true
		}
		if !errors.Is(err, errGone) {
			return 0, false
		}
	}
	return 0, false
}

// process returns a process that has room for a job, which is reserved.
func (k *Keeper) process(id identity, c Command) *process {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.keep[id]
	if all == nil {
		all = &population{}
		k.keep[id] = all
		k.replaced(id)
	}
	for _, p := range all.processes {
		if p.room() {
			p.reserve()
			return p
		}
	}
	if k.Now().Before(all.retry) {
		return nil
	}
	p, err := k.begin(id, c)
	if err != nil {
		k.trouble(all, id, err.Error())
		return nil
	}
	all.processes = append(all.processes, p)
	p.reserve()
	return p
}

// replaced lets go of processes that run another file of the same path, whoever they
// run as.
func (k *Keeper) replaced(id identity) {
	for other, all := range k.keep {
		if other.path != id.path || other.file == id.file {
			continue
		}
		for _, p := range all.processes {
			p.retire()
		}
		k.forget(other)
	}
}

// forget drops what is known of an identity that has no process and no trouble.
func (k *Keeper) forget(id identity) {
	if all := k.keep[id]; all != nil && len(all.processes) == 0 && k.Now().After(all.retry) {
		delete(k.keep, id)
	}
}

// mourn says that a process has ended before its time.
func (k *Keeper) mourn(all *population, p *process, text string, err error) {
	if err != nil {
		text += ": " + err.Error()
	}
	if all == nil { // replaced, and nobody waits for another
		k.warn("%s: %s", p.id.path, text)
		return
	}
	if k.Now().Sub(p.started) > young {
		all.pause = 0
	}
	k.trouble(all, p.id, text)
}

// trouble makes jobs run cold for a while.
func (k *Keeper) trouble(all *population, id identity, why string) {
	all.pause = min(max(2*all.pause, minPause), maxPause)
	all.retry = k.Now().Add(all.pause)
	k.warn("%s runs cold for %v: %s", id.path, all.pause, why)
}

// as names an identity.
func as(id *privs.Identity) string {
	if id == nil {
		return ""
	}
	b := strconv.AppendInt(nil, int64(id.UID), 10)
	for _, gid := range append([]int{id.GID}, id.Groups...) {
		b = strconv.AppendInt(append(b, ' '), int64(gid), 10)
	}
	return string(b)
}

// look finds the file that a command runs and whether it can be kept warm.
func (k *Keeper) look(c Command) (file, string) {
	if !available || !clean(c.Args, c.Env, []string{c.Dir}) {
		return file{}, ""
	}
	search := c.Search
	if search == nil {
		search = c.Env
	}
	for _, path := range prog.Candidates(c.Args[0], search, c.Dir) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.Dir, path)
		}
		var st unix.Stat_t
		if nowait.Stat(path, &st) != nil {
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0 {
			return file{}, "" // exec knows what to say about it
		}
		return k.known(path, file{dev: uint64(st.Dev), ino: uint64(st.Ino), size: st.Size, changed: st.Ctim}), path
	}
	return file{}, ""
}

// known completes what is known of a file, reading its end if it is new.
func (k *Keeper) known(path string, f file) file {
	k.mu.Lock()
	defer k.mu.Unlock()
	old, ok := k.files[path]
	same := old
	same.marked = false
	if ok && same == f {
		return old
	}
	f.marked = marked(path, f.size)
	k.files[path] = f
	return f
}

// marked reports whether a program's file ends with the mark. One that cannot be
// read does not.
func marked(path string, size int64) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	end := make([]byte, len(Mark))
	n, err := f.ReadAt(end, size-int64(len(Mark)))
	return (err == nil || err == io.EOF) && string(end[:n]) == Mark
}
