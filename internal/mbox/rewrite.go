package mbox

import (
	"bufio"
	"errors"
	"io"
	"os"

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
	lock *Lock
	f    *durable.Draft
	w    *bufio.Writer
}

// Draft begins a new mbox in the file path, which must be on the same file system as
// the old one. A file that was there goes.
func (l *Lock) Draft(path string) (*Draft, error) {
	old, err := l.f.Stat()
	if err != nil {
		return nil, err
	}
	if there, err := os.Stat(path); err == nil && os.SameFile(old, there) {
		return nil, ErrSameFile
	}
	f, err := durable.CreateMode(path, 0o600)
	if err != nil {
		return nil, err
	}
	return &Draft{lock: l, f: f, w: bufio.NewWriterSize(f, 1<<16)}, nil
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
	return d.f.Finish()
}

// Publish puts the finished draft in the place of the old mbox, and returns when that
// is on disk. Who waits for the lock finds the new one, see open.
func (d *Draft) Publish() error {
	if err := d.f.Rename(d.lock.path); err != nil {
		return err
	}
	return syncParent(d.lock.path)
}

// Discard removes the draft, unless it was published.
func (d *Draft) Discard() {
	if d.f.Ours() {
		os.Remove(d.f.Name())
	}
	d.f.Close() // which Publish may have done
}
