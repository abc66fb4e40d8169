package queue

import (
	"errors"
	"io"
	"os"
	"time"

	"quail/internal/durable"
)

// What an administrator does to messages at work is said in the same files that
// qmail-send's own schedule is in, so that any qmail-send goes by it.

// Held is the time of the next attempt of a channel that an administrator holds, in
// seconds of the clock: 7 February 2106. File systems with short times keep an earlier
// one instead, which IsHeld knows.
const Held = 1<<32 - 1

// heldShort is what becomes of Held where times end in 2038.
const heldShort = 1<<31 - 1

// IsHeld reports whether a time of a next attempt says that there is to be none.
func IsHeld(due int64) bool { return due == Held || due == heldShort }

// SetBirth stores what the age of a message counts from.
func (d Dir) SetBirth(id ID, birth time.Time) error {
	if err := os.Chtimes(d.Path(id.Info()), birth, birth); err != nil {
		return &Error{"unable to utime", id.Info(), err}
	}
	return nil
}

// SyncTimes brings the times that SetBirth and SetNextAttempt have stored to disk.
func (d Dir) SyncTimes(id ID, syncs *durable.Group) error {
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for _, n := range []Name{id.Info(), id.Recipients(Local), id.Recipients(Remote)} {
		f, err := os.Open(d.Path(n))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return &Error{"unable to open", n, err}
		}
		files = append(files, f)
	}
	if err := syncs.Sync(files); err != nil {
		return &Error{"trouble fsyncing", id.Info(), err}
	}
	return nil
}

// MarkAllDone marks every recipient of a channel as served, has that on disk, and
// removes the file: nobody is delivered to on this channel from here on.
func (d Dir) MarkAllDone(id ID, c Channel, syncs *durable.Group) error {
	p, err := d.ServePass(id, c)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Close()
	for {
		r, err := p.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return &Error{"trouble reading", p.name, err}
		}
		if r.Done {
			continue
		}
		if err := p.MarkDone(r.At); err != nil {
			return err
		}
	}
	if err := syncs.Sync([]*os.File{p.f}); err != nil {
		return &Error{"trouble fsyncing", p.name, err}
	}
	return d.Remove(p.name)
}
