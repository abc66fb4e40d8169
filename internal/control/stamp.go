package control

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// Stamp is how files looked at one moment, for a program that keeps what it has
// read of them: while the stamps are the same, so are the files.
type Stamp []look

// look is one file's. A file that cannot be looked at is like no other, not even
// like itself.
type look struct {
	name   string
	info   fs.FileInfo
	absent bool
}

// Stamp looks at files of the directory. It is to be taken before they are read.
func (d Dir) Stamp(names ...string) Stamp {
	s := make(Stamp, len(names))
	for i, name := range names {
		s[i] = d.look(name)
	}
	return s
}

func (d Dir) look(name string) look {
	path := string(d) + "/" + name
	info, err := os.Stat(path)
	absent := errors.Is(err, fs.ErrNotExist)
	if absent {
		// A link to nowhere may lead somewhere soon, which its directory does not show.
		_, err = os.Lstat(path)
		absent = errors.Is(err, fs.ErrNotExist)
	}
	return look{name, info, absent}
}

// Valid reports whether nothing has changed since the stamp was taken. If the directory
// itself, ".", is the first of its files, those that were absent are not looked at: it
// would have changed with them.
func (s Stamp) Valid(d Dir) bool {
	for _, l := range s {
		if l.absent && s[0].name == "." {
			continue
		}
		if !l.same(d.look(l.name)) {
			return false
		}
	}
	return len(s) > 0
}

// Same reports whether nothing has changed between two stamps.
func (s Stamp) Same(o Stamp) bool {
	if len(s) != len(o) {
		return false
	}
	for i := range s {
		if !s[i].same(o[i]) {
			return false
		}
	}
	return true
}

func (l look) same(o look) bool {
	if l.info == nil || o.info == nil {
		return l.absent && o.absent
	}
	return os.SameFile(l.info, o.info) && l.info.Size() == o.info.Size() &&
		l.info.ModTime().Equal(o.info.ModTime()) && l.info.Mode() == o.info.Mode()
}

// settleTime is more than the clocks of file systems are coarse.
const settleTime = 3 * time.Second

// Settled reports whether at the time now all files had been at rest for a while.
// One that has just been written may be written again and look the same.
func (s Stamp) Settled(now time.Time) bool {
	for _, l := range s {
		if l.info != nil && now.Sub(l.info.ModTime()) < settleTime {
			return false
		}
	}
	return true
}
