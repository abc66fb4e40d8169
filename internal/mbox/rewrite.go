package mbox

import (
	"bufio"
	"errors"
	"io"
	"os"
	"syscall"

	"quail/internal/durable"
)

// ErrSameFile says that a draft would be written over its mbox.
var ErrSameFile = errors.New("same file as the mbox")

// Lock is an mbox that no delivery writes to until Close.
type Lock struct {
	path string
	f    *os.File
}

// Hold locks the mbox, which is created if need be, waiting for as long as others have
// it locked. A file system without locks is used without.
func Hold(path string) (*Lock, error) {
	f, _, err := open(path, func() bool { return false })
	if err != nil {
		return nil, err
	}
	return &Lock{path, f}, nil
}

// Close lets others write to the mbox, and to the one that has taken its place.
func (l *Lock) Close() { l.f.Close() }

// Draft is a new mbox in the making, which replaces the old one as a whole or not at
// all.
type Draft struct {
	lock      *Lock
	path      string
	f         *os.File
	w         *bufio.Writer
	published bool
}

// Draft begins a new mbox in the file path, which must be on the same file system as
// the old one. What was there is overwritten.
func (l *Lock) Draft(path string) (*Draft, error) {
	// What is there is emptied only once it is known to be something else than the mbox.
	f, err := durable.OpenFile(path, os.O_WRONLY|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	old, err := l.f.Stat()
	var fi os.FileInfo
	if err == nil {
		fi, err = f.Stat()
	}
	switch {
	case err != nil:
	case os.SameFile(old, fi):
		err = ErrSameFile
	case !fi.Mode().IsRegular():
		err = &os.PathError{Op: "write", Path: path, Err: syscall.EINVAL}
	default:
		err = f.Truncate(0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Draft{lock: l, path: path, f: f, w: bufio.NewWriterSize(f, 1<<16)}, nil
}

// Copy adds all of the old mbox, which r reads. An error from r is returned as it is.
func (d *Draft) Copy(r io.Reader) error {
	_, err := io.Copy(d.w, r)
	return err
}

// Add adds a message, as Append does.
func (d *Draft) Add(head string, message io.Reader) error {
	if _, err := d.w.WriteString(head); err != nil {
		return err
	}
	return quote(d.w, bufio.NewReaderSize(message, 1<<14))
}

// Finish brings the new mbox to disk.
func (d *Draft) Finish() error {
	if err := d.w.Flush(); err != nil {
		return err
	}
	if err := d.f.Sync(); err != nil {
		return err
	}
	return d.f.Close()
}

// Publish puts the finished draft in the place of the old mbox, and returns when that
// is on disk. Who waits for the lock finds the new one, see open.
func (d *Draft) Publish() error {
	if err := os.Rename(d.path, d.lock.path); err != nil {
		return err
	}
	d.published = true
	return syncParent(d.lock.path)
}

// Discard removes the draft, unless it was published.
func (d *Draft) Discard() {
	if !d.published {
		d.f.Close() // which Finish may have done
		os.Remove(d.path)
	}
}
