package control

import (
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/nowait"
)

// Stamp is how files looked at one moment, for a program that keeps what it has
// read of them: while the stamps are the same, so are the files.
type Stamp []look

// look is one file's. A file that cannot be looked at is like no other, not even
// like itself.
type look struct {
	name   string
	known  bool
	absent bool
	version
}

// version tells a file from another, and from itself with other contents or for other
// readers. The time of its last change of any kind is one that nobody can set back.
type version struct {
	dev, ino        uint64
	size            int64
	mode            uint32
	written, change unix.Timespec
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
	var st unix.Stat_t
	err := nowait.Stat(path, &st)
	if err == unix.ENOENT {
		// A link to nowhere may lead somewhere soon, which its directory does not show.
		return look{name: name, absent: unix.Lstat(path, &st) == unix.ENOENT}
	}
	if err != nil {
		return look{name: name}
	}
	return look{name: name, known: true, version: version{
		uint64(st.Dev), uint64(st.Ino), st.Size, uint32(st.Mode), st.Mtim, st.Ctim,
	}}
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
	if !l.known || !o.known {
		return l.absent && o.absent
	}
	return l.version == o.version
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

// settleTime is more than the clocks of file systems are coarse.
const settleTime = 3 * time.Second

// Settled reports whether at the time now all files had been at rest for a while.
// One that has just been written may be written again and look the same.
func (s Stamp) Settled(now time.Time) bool {
	for _, l := range s {
		if l.known && now.Sub(time.Unix(l.written.Unix())) < settleTime {
			return false
		}
	}
	return true
}
