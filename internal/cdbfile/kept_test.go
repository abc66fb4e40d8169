package cdbfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"quail/internal/cdb"
)

// value looks up "k".
func value(k *Kept) (v string, err error) {
	err = k.View(func(r *cdb.Reader) error {
		found, ok, err := r.Find("k")
		if err == nil && !ok {
			err = fs.ErrInvalid
		}
		v = string(found)
		return err
	})
	return v, err
}

func TestKept(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "cdb")
	k := Keep(name)
	if _, err := value(k); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before there is one: %v", err)
	}
	for i, change := range []func(){
		func() { write(t, name+".tmp", name, "k", "one") },
		func() {},
		func() { write(t, name+".tmp", name, "k", "two") },
		func() { write(t, name+".tmp", name, "k", "longer") },
		func() { os.Chmod(name, 0o640) },
	} {
		change()
		want := [...]string{"one", "one", "two", "longer", "longer"}[i]
		if v, err := value(k); v != want || err != nil {
			t.Errorf("change %d: %q, %v, want %q", i, v, err, want)
		}
	}
	before := k.f
	if value(k); k.f != before {
		t.Error("opened again without a reason")
	}
	if err := os.Truncate(name, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := value(k); !errors.Is(err, cdb.ErrFormat) {
		t.Errorf("cut short: %v", err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := value(k); !errors.Is(err, fs.ErrNotExist) || k.f != nil {
		t.Errorf("gone: %v, still open: %t", err, k.f != nil)
	}
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := value(k); !errors.Is(err, cdb.ErrFormat) {
		t.Errorf("a fifo: %v", err)
	}
}

// Lookups go on, each in one database or the other, while it is being replaced.
func TestKeptIsReplacedUnderLookups(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cdb")
	write(t, name+".tmp", name, "k", "0")
	k := Keep(name)
	var all sync.WaitGroup
	for range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			last := 0
			for last < 50 {
				v, err := value(k)
				n, _ := strconv.Atoi(v)
				if err != nil || n < last {
					t.Errorf("%q after %d, %v", v, last, err)
					return
				}
				last = n
			}
		}()
	}
	for i := range 50 {
		write(t, name+".tmp", name, "k", strconv.Itoa(i+1))
	}
	all.Wait()
}
