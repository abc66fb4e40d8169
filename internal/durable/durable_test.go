package durable

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// file makes a file with something in it.
func file(t *testing.T, dir, name string) *os.File {
	t.Helper()
	f, err := OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	file(t, dir, "f")
	if err := Dir(dir); err != nil {
		t.Error(err)
	}
	if err := Dir(filepath.Join(dir, "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	if err := Dir(filepath.Join(dir, "f")); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file: %v", err)
	}
	// A file system that cannot do it has done what it could.
	if err := Dir("/proc/self"); err != nil {
		t.Errorf("/proc: %v", err)
	}
}

func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	file(t, dir, "f")
	_, err := OpenFile(filepath.Join(dir, "f"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	var path *os.PathError
	if !errors.Is(err, os.ErrExist) || !errors.As(err, &path) {
		t.Errorf("a file that is there: %v", err)
	}
}

// unsyncable is a descriptor that cannot be synced: of a pipe.
func unsyncable(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return w
}

func TestFailureIsReported(t *testing.T) {
	dir := t.TempDir()
	for name, g := range map[string]*Group{"nil": nil, "apart": {now: time.Now}, "group": NewGroup(dir, time.Now)} {
		if err := g.Sync([]*os.File{unsyncable(t)}, dir); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: a pipe was synced: %v", name, err)
		}
		if err := g.Sync(nil, dir+"/gone"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a directory that is not there was synced: %v", name, err)
		}
	}
}

// together has n calls wait for g's turn at once, and returns their errors.
func together(g *Group, n int, call func(i int) error) []error {
	errs := make([]error, n)
	g.turn.Lock()
	var all sync.WaitGroup
	for i := range n {
		all.Add(1)
		go func() {
			defer all.Done()
			errs[i] = call(i)
		}()
	}
	for waiting := 0; waiting < n; {
		g.mu.Lock()
		if g.next != nil {
			waiting = len(g.next.calls)
		}
		g.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	g.turn.Unlock()
	all.Wait()
	return errs
}

// Of several calls that wait for one directory, each has its own files' failure, and
// all have the directory's.
func TestSharedDirectory(t *testing.T) {
	dir := t.TempDir()
	g := &Group{now: time.Now}
	for i, err := range together(g, 10, func(int) error { return g.Sync(nil, dir) }) {
		if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if n := g.Counts(); n != (Counts{Calls: 10, Syncs: 1, Shared: 9}) {
		t.Errorf("%+v, want one sync for ten calls", n)
	}
	for i, err := range together(g, 10, func(int) error { return g.Sync(nil, dir+"/gone") }) {
		if err == nil {
			t.Errorf("call %d was told that a directory is synced that is not there", i)
		}
	}
}

// A call that arrives while a sync runs is not content with that one.
func TestNeverAnOlderSync(t *testing.T) {
	dir := t.TempDir()
	g := &Group{now: time.Now}
	g.turn.Lock() // a sync runs
	first := make(chan error, 1)
	go func() { first <- g.Sync(nil, dir) }()
	for {
		g.mu.Lock()
		waits := g.next != nil
		g.mu.Unlock()
		if waits {
			break
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case <-first:
		t.Fatal("a call returned without a sync of its own")
	case <-time.After(50 * time.Millisecond):
	}
	g.turn.Unlock()
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// Whatever the order in which many jobs call: between the time of a call and its
// return lies the beginning of a sync, and its end. A directory is made to vanish and
// come back; a call that began after it went and returned before it came must fail.
func TestOrderUnderLoad(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	g := &Group{now: time.Now}
	var mu sync.RWMutex // held for reading while target is as there says
	there := false
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.RLock()
				want := there
				err := g.Sync(nil, target)
				mu.RUnlock()
				if (err == nil) != want {
					t.Errorf("with the directory there %v: %v", want, err)
				}
			}
		}()
	}
	for range 300 {
		mu.Lock()
		if there = !there; there {
			os.Mkdir(target, 0o700)
		} else {
			os.Remove(target)
		}
		mu.Unlock()
		time.Sleep(200 * time.Microsecond)
	}
	close(stop)
	all.Wait()
	if n := g.Counts(); n.Shared == 0 {
		t.Error("nothing was ever shared")
	}
}

func TestNilGroup(t *testing.T) {
	dir := t.TempDir()
	var g *Group
	if err := g.Sync([]*os.File{file(t, dir, "f")}, dir); err != nil {
		t.Error(err)
	}
}

// A panic in one job's sync must not leave the others waiting, or let them think that
// they are safe.
func TestPanic(t *testing.T) {
	g := &Group{now: time.Now}
	b := &batch{calls: []*call{{err: errLost}, nil}, done: make(chan struct{})} // nil is what panics
	func() {
		defer func() { recover() }()
		g.lead(b)
	}()
	select {
	case <-b.done:
	default:
		t.Fatal("the others still wait")
	}
	if err := g.Sync(nil, t.TempDir()); err != nil {
		t.Error(err)
	}
}

func BenchmarkSync(b *testing.B) {
	dir := b.TempDir()
	g := NewGroup(dir, time.Now)
	b.SetParallelism(10)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := g.Sync(nil, dir); err != nil {
				b.Error(err)
			}
		}
	})
	n := g.Counts()
	b.ReportMetric(float64(n.Syncs)/float64(n.Calls), "syncs/call")
}
