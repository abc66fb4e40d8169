// Package durable brings files, and the directory entries that name them, to disk.
// All that acknowledges mail does it by this package, since what a sync covers is
// easily thought to be more than it is: fsync of a file does not cover its name, and
// an error is told once, to whoever asks first.
//
// A Group shares syncs among the jobs of one process. The rule is the same for all
// ways of sharing: a call of Sync returns after a sync that began after the call, so
// that what its job had written by then is covered; and where that sync failed, all
// who waited for it are told so, and nobody tries again, since a second sync of pages
// that could not be written reports success.
package durable

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// OpenFile is os.OpenFile for files of mailboxes and queues, which never have to be
// waited for: without the six system calls by which the library finds that out.
func OpenFile(path string, flag int, mode os.FileMode) (*os.File, error) {
	fd, err := open(path, flag, mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func open(path string, flag int, mode os.FileMode) (int, error) {
	for {
		fd, err := unix.Open(path, flag|unix.O_CLOEXEC, uint32(mode.Perm()))
		if err == nil {
			return fd, nil
		}
		if err != unix.EINTR {
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// Dir makes the entries of a directory durable, on file systems that know how to.
func Dir(path string) error {
	fd, err := open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		switch err := unix.Fsync(fd); err {
		case unix.EINTR:
		case nil, unix.EINVAL, unix.ENOTSUP:
			return nil
		default:
			return &os.PathError{Op: "sync", Path: path, Err: err}
		}
	}
}

// Slow is how long a sync of the whole file system may take. If it takes longer,
// somebody else's data are written along with ours, and for Pause each file is synced
// by itself.
const (
	Slow  = time.Second
	Pause = 5 * time.Minute
)

// Gathering is how long a sync at most waits for more calls to share it. Where jobs come
// together it is a quarter of what the last sync took: those that one has let go come for
// their next one a moment later, and would find this one begun. A job that is alone
// does not wait.
const Gathering = 5 * time.Millisecond

// Group shares syncs among jobs on one file system. A nil Group shares nothing.
type Group struct {
	now   func() time.Time
	whole *fileSystem // nil if it cannot be synced as a whole

	turn sync.Mutex // held by the batch that is being synced
	mu   sync.Mutex // guards what follows
	next *batch     // those who wait for the turn to end
	// apart says until when whole is not used; forever, that it is never used again.
	apart   time.Time
	forever bool
	gather  time.Duration // what the next sync waits
	counts  Counts
}

// Counts says what a Group has done.
type Counts struct {
	Calls  int // of Sync
	Syncs  int // system calls made for them
	Shared int // calls that shared all of their syncs with others
}

// NewGroup returns a group for files on the file system of the directory dir. Other
// files may be synced by it too, at the price of a sync each.
func NewGroup(dir string, now func() time.Time) *Group {
	return &Group{now: now, whole: openFileSystem(dir)}
}

// Counts returns what has been done so far.
func (g *Group) Counts() Counts {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counts
}

// batch is the calls that share a sync.
type batch struct {
	calls []*call
	done  chan struct{}
}

// call is one call of Sync.
type call struct {
	files []*os.File
	dirs  []string
	err   error
}

// errLost is what those are told whose sync ended in a panic of another job.
var errLost = errors.New("sync was not finished")

// Sync returns when all that was written to files and all entries that were made in
// dirs before the call are on disk.
func (g *Group) Sync(files []*os.File, dirs ...string) error {
	c := &call{files: files, dirs: dirs}
	if g == nil {
		return c.alone()
	}
	if !g.sharesFiles() {
		// Each job on its own, at the same time: the file system merges what it can.
		for _, f := range files {
			if err := f.Sync(); err != nil {
				return err
			}
		}
		g.count(Counts{Syncs: len(files)})
		c.files = nil
	}
	c.err = errLost
	g.mu.Lock()
	b := g.next
	first := b == nil
	if first {
		b = &batch{done: make(chan struct{})}
		g.next = b
	}
	b.calls = append(b.calls, c)
	g.mu.Unlock()
	if first {
		g.lead(b)
	} else {
		<-b.done
	}
	return c.err
}

// lead waits until the sync before this one is over and does the one of b. Who comes
// while that is running begins the next batch.
func (g *Group) lead(b *batch) {
	g.turn.Lock()
	defer g.turn.Unlock()
	defer close(b.done)
	g.mu.Lock()
	gather := g.gather
	g.mu.Unlock()
	// Who is ready comes along. A sync may keep the only processor, so that otherwise each
	// of them would follow with one of its own.
	runtime.Gosched()
	time.Sleep(gather) // not at all, if it is 0
	g.mu.Lock()
	g.next, g.gather = nil, 0
	g.mu.Unlock()
	g.sync(b.calls)
}

// sync brings the calls of one batch to disk by as few system calls as it can.
func (g *Group) sync(calls []*call) {
	switch {
	case len(calls) == 1:
		c := calls[0]
		c.err = c.alone()
		g.count(Counts{Calls: 1, Syncs: len(c.files) + len(c.dirs)})
	case g.sharesFiles() && g.whole.has(calls):
		g.syncWhole(calls)
	default:
		g.syncApart(calls)
	}
}

// syncWhole is one sync of the file system for all calls.
//
// The kernel tells an error of writing once to each descriptor, and here all jobs
// have one: a job that comes after the failure would not hear of it, though it may be
// its own data that were lost. So after the first failure every job asks for itself,
// at its own descriptors, from then on.
func (g *Group) syncWhole(calls []*call) {
	began := g.now()
	err := g.whole.sync()
	took := g.now().Sub(began)
	for _, c := range calls {
		c.err = err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts.add(Counts{Calls: len(calls), Syncs: 1, Shared: len(calls)})
	g.forever = g.forever || err != nil
	g.gather = min(took/4, Gathering)
	if took > Slow {
		g.apart = g.now().Add(Pause)
	}
}

// syncApart syncs each file for the call that it belongs to, and each directory once
// for all calls that name it.
func (g *Group) syncApart(calls []*call) {
	done := map[string]error{}
	for _, c := range calls {
		syncs := len(c.files)
		c.err = c.syncFiles()
		for _, dir := range c.dirs {
			if c.err != nil {
				break
			}
			err, shared := done[dir]
			if !shared {
				err = Dir(dir)
				done[dir] = err
				syncs++
			}
			c.err = err
		}
		n := Counts{Calls: 1, Syncs: syncs}
		if syncs == 0 {
			n.Shared = 1
		}
		g.count(n)
	}
}

// alone syncs everything of a call, one after another.
func (c *call) alone() error {
	if err := c.syncFiles(); err != nil {
		return err
	}
	for _, dir := range c.dirs {
		if err := Dir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) syncFiles() error {
	for _, f := range c.files {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// sharesFiles reports whether one sync may be for files of several jobs at present.
func (g *Group) sharesFiles() bool {
	if g.whole == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.forever && (g.apart.IsZero() || g.now().After(g.apart))
}

func (g *Group) count(n Counts) {
	g.mu.Lock()
	g.counts.add(n)
	g.mu.Unlock()
}

func (c *Counts) add(n Counts) {
	c.Calls += n.Calls
	c.Syncs += n.Syncs
	c.Shared += n.Shared
}
