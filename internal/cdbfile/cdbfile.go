// Package cdbfile opens constant databases by name and replaces them as a whole.
//
// A database is never changed in place: a new one is written under a temporary
// name, brought to disk and renamed over the old one, so that a reader sees either
// the old or the new one, and so does whoever looks after a power cut.
//
// A database is read with pread, never mapped: a file that is truncated while it
// is mapped kills its reader, and qmail-lspawn is one.
package cdbfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"quail/internal/cdb"
	"quail/internal/durable"
)

// File is an open database.
type File struct {
	*cdb.Reader
	f *os.File
}

// Open opens the database name. It never waits: what is no regular file is no
// database.
func Open(name string) (*File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("open %s: %w", name, cdb.ErrFormat)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{cdb.NewReader(f, fi.Size()), f}, nil
}

// Close releases the file.
func (f *File) Close() error { return f.f.Close() }

// Draft is a database in the making, under its temporary name. One that is not
// published stays there, for the administrator to look at, as with qmail.
type Draft struct {
	w *cdb.Writer
	f *durable.Draft
}

// Create starts a database in the file tmp, whose contents go first.
func Create(tmp string) (*Draft, error) {
	f, err := durable.Create(tmp)
	if err != nil {
		return nil, err
	}
	return &Draft{cdb.NewWriter(f), f}, nil
}

// Add appends a record.
func (d *Draft) Add(r cdb.Record) error { return d.w.Add(r) }

// Finish completes the database and returns when it is on disk.
func (d *Draft) Finish() error {
	if err := d.w.Finish(); err != nil {
		return errors.Join(err, d.f.Close())
	}
	return d.f.Finish()
}

// Discard gives up a draft that was not finished; else it does nothing.
func (d *Draft) Discard() { d.f.Close() }

// Publish renames a finished draft to name and returns when the directory is on
// disk, so that nothing later can rely on a change that a power cut takes back.
func (d *Draft) Publish(name string) error { return d.f.Publish(name) }
