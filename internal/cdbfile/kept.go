package cdbfile

import (
	"bytes"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"quail/internal/cdb"
	"quail/internal/nowait"
)

// Kept is a database that stays open between lookups. Before each one its name is
// looked at, and if another file stands there that one is opened.
type Kept struct {
	name string

	mu sync.RWMutex // held to read by lookups, to write by who changes the rest
	f  *File
	id version
}

// version tells one file from another, and from itself with other contents or for
// other readers. As long as a file is open no other has its inode.
type version struct {
	dev, ino, size  uint64
	written, status unix.Timespec
}

// Keep returns the database name, which is opened when it is first needed.
func Keep(name string) *Kept { return &Kept{name: name} }

// View calls look with the database as it stands under its name now. What it returns
// is what look does, or what Open would.
func (k *Kept) View(look func(*cdb.Reader) error) error {
	id, err := k.present()
	if err != nil {
		return err
	}
	k.mu.RLock()
	for opened := false; k.f == nil || k.id != id && !opened; opened = true {
		k.mu.RUnlock()
		if err := k.open(); err != nil {
			return err
		}
		k.mu.RLock()
	}
	defer k.mu.RUnlock()
	return look(k.f.Reader)
}

// present looks at the name. A database that is gone is closed.
func (k *Kept) present() (version, error) {
	var st unix.Stat_t
	err := nowait.Stat(k.name, &st)
	if err != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.close()
		return version{}, &os.PathError{Op: "stat", Path: k.name, Err: err}
	}
	return versionOf(&st), nil
}

func versionOf(st *unix.Stat_t) version {
	return version{uint64(st.Dev), uint64(st.Ino), uint64(st.Size), st.Mtim, st.Ctim}
}

// small is the size up to which a database is read as a whole: a lookup takes seven
// reads of the file.
const small = 1 << 16

// open takes up the file that stands there now.
func (k *Kept) open() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.close()
	f, err := Open(k.name)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.f.Fd()), &st); err != nil {
		f.Close()
		return err
	}
	k.f, k.id = f, versionOf(&st)
	if st.Size <= small {
		b := make([]byte, st.Size)
		if n, _ := f.f.ReadAt(b, 0); n == len(b) {
			f.Reader = cdb.NewReader(bytes.NewReader(b), st.Size)
		}
	}
	return nil
}

// close lets go of the file. The lock is held.
func (k *Kept) close() {
	if k.f != nil {
		k.f.Close()
		k.f = nil
	}
}
