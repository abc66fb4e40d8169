package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrTaken says that a temporary name stands for another file than it did: two programs
// were given the same one.
var ErrTaken = errors.New("another program has taken the temporary file")

// Draft is a file in the making, under a temporary name in the file system of the
// one that it is to replace, so that readers see the old contents or the new ones.
// One that is not published stays there, for the administrator to look at, as with
// qmail.
type Draft struct{ *os.File }

// Create starts the file tmp, in place of the one that has the name.
func Create(tmp string) (*Draft, error) { return CreateMode(tmp, 0o644) }

// CreateMode is Create for a file of another mode.
//
// A file or a link of that name goes and is not written to, since it may be another
// program's draft, or have been put there by somebody who wants another file to be
// overwritten, or to read this one. Anything else is in the way.
func CreateMode(tmp string, mode os.FileMode) (*Draft, error) {
	fi, err := os.Lstat(tmp)
	switch {
	case err != nil: // so will be what follows, if it matters
	case fi.IsDir():
		return nil, &os.PathError{Op: "open", Path: tmp, Err: unix.EISDIR}
	case fi.Mode().Type()&^fs.ModeSymlink == 0:
		if err := unix.Unlink(tmp); err != nil && err != unix.ENOENT {
			return nil, &os.PathError{Op: "unlink", Path: tmp, Err: err}
		}
	}
	f, err := OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	return &Draft{f}, nil
}

// Finish returns when what was written is on disk. Nothing is to be added after it.
func (d *Draft) Finish() error { return d.Sync() }

// Ours reports whether the temporary name still stands for the draft.
func (d *Draft) Ours() bool {
	opened, err1 := d.Stat()
	named, err2 := os.Lstat(d.Name())
	return err1 == nil && err2 == nil && os.SameFile(opened, named)
}

// Rename gives a finished draft the name of the file that it replaces, and closes it.
//
// Differs from qmail: a draft whose name another program has taken, which it would
// publish half-written, is an error.
func (d *Draft) Rename(name string) error {
	if !d.Ours() {
		return ErrTaken
	}
	if err := os.Rename(d.Name(), name); err != nil {
		return err
	}
	return d.Close()
}

// Publish renames a finished draft to name and returns when the directory is on
// disk, so that nothing later can rely on a change that a power cut takes back.
func (d *Draft) Publish(name string) error {
	if err := d.Rename(name); err != nil {
		return err
	}
	dir, _ := filepath.Split(name) // not Dir, which would take x/../ for nothing
	return Dir(dir + ".")
}
