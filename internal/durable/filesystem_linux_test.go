package durable

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRecent(t *testing.T) {
	for release, want := range map[string]bool{
		"5.16.20": false, "5.17.0": true, "5.17": true, "5.4.0-150-generic": false, "6.0.0": true,
		"6.18.4-custom": true, "10.1": true, "4.19.0-27-amd64": false, "5.8.0": false,
		"": false, "x": false, "5": false, "6.": false, "5.x": false,
	} {
		if got := recent(release); got != want {
			t.Errorf("recent(%q) = %v", release, got)
		}
	}
}

// What is no block device has no journal, and what is no trusted file system is never
// synced as a whole.
func TestUntrusted(t *testing.T) {
	if journaled(unix.Mkdev(0, 999999)) {
		t.Error("a device that does not exist has a journal")
	}
	for _, dir := range []string{"/proc", "/nonexistent"} {
		if openFileSystem(dir) != nil {
			t.Errorf("%s would be synced as a whole", dir)
		}
	}
}

// shared has two calls share a sync.
func shared(t *testing.T, g *Group, dir string) []error {
	return together(g, 2, func(i int) error {
		f, err := os.CreateTemp(dir, "f")
		if err != nil {
			return err
		}
		defer f.Close()
		return g.Sync([]*os.File{f}, dir)
	})
}

// The error of a sync is told to one descriptor once. When all jobs had that one in
// common, those that came later must ask at their own.
func TestFailedOnceApartForever(t *testing.T) {
	dir := shm(t)
	g := NewGroup(dir, time.Now)
	g.whole.dir.Close()
	for i, err := range shared(t, g, dir) {
		if !errors.Is(err, unix.EBADF) {
			t.Errorf("call %d: %v, want the failure that both waited for", i, err)
		}
	}
	for i, err := range shared(t, g, dir) {
		if err != nil {
			t.Errorf("call %d, by itself: %v", i, err)
		}
	}
	if g.sharesFiles() {
		t.Error("the whole file system would be synced again")
	}
}

// A sync that takes long writes somebody else's data.
func TestSlow(t *testing.T) {
	dir := shm(t)
	clock := time.Unix(1700000000, 0)
	g := NewGroup(dir, func() time.Time {
		clock = clock.Add(2 * Slow)
		return clock
	})
	shared(t, g, dir)
	if g.sharesFiles() {
		t.Error("a slow sync is done again at once")
	}
	clock = clock.Add(Pause)
	if !g.sharesFiles() {
		t.Error("a slow sync is never tried again")
	}
}

// After a shared sync the next one waits for those whom that has let go; a job that is
// alone never waits for anybody.
func TestGathering(t *testing.T) {
	dir := shm(t)
	for took, want := range map[time.Duration]time.Duration{0: 0, 4 * time.Millisecond: time.Millisecond, time.Minute: Gathering} {
		clock := time.Unix(1700000000, 0)
		g := NewGroup(dir, func() time.Time {
			clock = clock.Add(took)
			return clock
		})
		shared(t, g, dir)
		if g.gather != want {
			t.Errorf("after a sync of %v the next one waits %v, want %v", took, g.gather, want)
		}
		if err := g.Sync([]*os.File{file(t, dir, "alone after "+took.String())}, dir); err != nil || g.gather != 0 {
			t.Errorf("after a job that is alone the next one waits %v (%v)", g.gather, err)
		}
	}
}

// Where a sync keeps the only processor, who is ready comes along all the same. Each once
// had a sync to itself then.
func TestWhoIsReady(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	dir := shm(t)
	g := NewGroup(dir, time.Now)
	const n = 8
	files := make([]*os.File, n)
	for i := range files {
		files[i] = file(t, dir, string(rune('a'+i)))
	}
	var over sync.WaitGroup
	for _, f := range files {
		over.Go(func() {
			if err := g.Sync([]*os.File{f}, dir); err != nil {
				t.Error(err)
			}
		})
	}
	over.Wait()
	if got := g.Counts(); got.Calls != n || got.Syncs >= n { // one, as a rule
		t.Errorf("%+v, want them to share syncs", got)
	}
}

// shm returns a directory on a file system that can be synced as a whole.
func shm(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "durable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Where one call names a file of another device, none of the batch is synced as a
// whole; and where one of its files cannot be synced, only that call fails.
func TestOtherDevice(t *testing.T) {
	g := NewGroup("/dev/shm", time.Now)
	if g.whole == nil {
		t.Fatal("a tmpfs cannot be synced as a whole")
	}
	dir := t.TempDir()
	errs := together(g, 5, func(i int) error {
		if i == 3 {
			return g.Sync([]*os.File{unsyncable(t)}, dir)
		}
		return g.Sync([]*os.File{file(t, dir, string(rune('a'+i)))}, dir)
	})
	for i, err := range errs {
		if (err != nil) != (i == 3) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if n := g.Counts(); n.Syncs != 5+1 {
		t.Errorf("%+v, want a sync a file and one for the directory", n)
	}
}

func TestWholeFileSystem(t *testing.T) {
	dir := shm(t)
	clock := time.Unix(1700000000, 0)
	g := NewGroup(dir, func() time.Time { return clock })
	batch := func() Counts {
		before := g.Counts()
		for i, err := range together(g, 10, func(i int) error {
			f, err := os.CreateTemp(dir, "f")
			if err != nil {
				return err
			}
			defer f.Close()
			return g.Sync([]*os.File{f}, dir)
		}) {
			if err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		}
		n := g.Counts()
		return Counts{n.Calls - before.Calls, n.Syncs - before.Syncs, n.Shared - before.Shared}
	}
	if n := batch(); n != (Counts{10, 1, 10}) {
		t.Errorf("%+v, want one sync for ten calls", n)
	}
	g.apart = clock.Add(Pause) // as after a slow one
	if n := batch(); n.Syncs != 10+1 {
		t.Errorf("%+v in the pause, want a sync a file", n)
	}
	clock = clock.Add(Pause + time.Second)
	if n := batch(); n != (Counts{10, 1, 10}) {
		t.Errorf("%+v after the pause, want one sync for ten calls", n)
	}
}
