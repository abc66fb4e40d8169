package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// Draft is a file in the making, under a temporary name in the file system of the
// one that it is to replace, so that readers see the old contents or the new ones.
// One that is not published stays there, for the administrator to look at, as with
// qmail.
type Draft struct {
	*os.File
	tmp string
}

// Create starts the file tmp, whose contents go first.
func Create(tmp string) (*Draft, error) {
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	return &Draft{f, tmp}, nil
}

// Finish closes the file and returns when what was written is on disk.
func (d *Draft) Finish() error {
	return errors.Join(d.Sync(), d.Close())
}

// Publish renames a finished draft to name and returns when the directory is on
// disk, so that nothing later can rely on a change that a power cut takes back.
func (d *Draft) Publish(name string) error {
	if err := os.Rename(d.tmp, name); err != nil {
		return err
	}
	return Dir(filepath.Dir(name))
}
