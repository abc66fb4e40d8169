package qcheck

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/durable"
	"quail/internal/layout"
	"quail/internal/queue"
)

// Where a repair puts what is in nobody's way there, on the queue's own file system.
// Neither qmail's programs nor ours look into it. What is in moving comes back under
// another number, what is in quarantine itself is the administrator's.
const (
	quarantine queue.Name = "quarantine"
	moving                = quarantine + "/moving"
)

// repairer mends a queue that no qmail-send works on.
//
// It can be stopped between any two of its steps, and so each message is in one place
// at all times, and at every moment one of these holds: it is whole under its old
// number, or whole under its new one, or its text says by its inode number what in
// moving belongs to it. Parts go in this order, and come in the opposite one: info,
// which means nothing as long as there is todo; todo; the rest, which means nothing
// without the two; the text, which keeps its old number from being given to a new
// message. A text without todo and info
// is removed by qmail-send after 36 hours, so it is made to look as if it had been read
// just now.
type repairer struct {
	dir      queue.Dir
	accounts *layout.Accounts
	now      time.Time
	touched  map[string]bool // directories to sync
}

// outward is the order in which parts leave.
var outward = [][]part{{info}, {todo}, {intd, local, remote, bounce}, {mess}}

// errTaken is that a file is in the way.
var errTaken = errors.New("there is another file of that name")

// mend does what can be done about the findings.
func (r *repairer) mend(findings []finding) error {
	if err := r.frame(findings); err != nil {
		return err
	}
	for _, f := range findings {
		if f.kind != kindOwner {
			continue
		}
		if err := r.own(f.file); err != nil {
			return err
		}
	}
	if err := r.putAside(findings); err != nil {
		return err
	}
	if err := r.takeOut(findings); err != nil {
		return err
	}
	if err := r.bringIn(); err != nil {
		return err
	}
	for _, f := range findings {
		if f.kind == kindSplit { // if it is empty now
			unix.Rmdir(r.dir.Path(f.name))
		}
	}
	return nil
}

// frame makes the directories and files that are always there, and our own.
func (r *repairer) frame(findings []finding) error {
	for _, f := range findings {
		if f.kind != kindTree {
			continue
		}
		if err := r.treeItem(f); err != nil {
			return fmt.Errorf("mend %s: %w", f.name, err)
		}
	}
	item := layout.Item{Kind: "d", Mode: 0o700, Owner: conf.UserQueue, Group: conf.GroupQmail}
	uid, gid, mode, err := r.accounts.Expected(item)
	if err != nil {
		return err
	}
	for _, n := range []queue.Name{quarantine, moving} {
		if err := r.treeItem(finding{name: n, item: &treeItem{item, n, uid, gid, mode}}); err != nil {
			return fmt.Errorf("make %s: %w", n, err)
		}
		r.touched[filepath.Dir(r.dir.Path(n))] = true
	}
	return r.sync()
}

// treeItem makes one of them, or gives it its owner and mode. What is of another type
// is left alone.
func (r *repairer) treeItem(f finding) error {
	path := r.dir.Path(f.name)
	var err error
	switch f.item.Kind {
	case "d", "s":
		err = os.Mkdir(path, 0o700)
	case "p":
		err = unix.Mkfifo(path, 0o600)
	case "t":
		err = sized(path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode().Type() != f.item.Type() {
		return err
	}
	return own(path, 0, f.item.uid, f.item.gid, f.item.mode)
}

// sized gives the table of hosts that timed out its size.
func sized(path string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return unix.Ftruncate(fd, tcptoSize)
}

// own gives a file of a message its owner and mode.
func (r *repairer) own(f *file) error {
	j := judge{accounts: r.accounts}
	uid, mode, err := j.expected(f.part)
	if err != nil {
		return err
	}
	links := uint64(1)
	if f.part == todo || f.part == intd {
		links = 2
	}
	if !f.mode.IsRegular() || f.links > links { // whoever made the other name may mean another file
		return nil
	}
	return own(r.dir.Path(f.name), f.inode, uid, -1, mode)
}

// own gives a file an owner and a mode. The directory may be somebody else's than
// ours, so it has to be what it was when it was looked at, and no link.
func own(path string, inode uint64, uid, gid int, mode fs.FileMode) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || inode != 0 && uint64(st.Ino) != inode {
		return err
	}
	if err := unix.Fchown(fd, uid, gid); err != nil {
		return &fs.PathError{Op: "chown", Path: path, Err: err}
	}
	if err := unix.Fchmod(fd, uint32(mode.Perm())); err != nil {
		return &fs.PathError{Op: "chmod", Path: path, Err: err}
	}
	return nil
}

// putAside moves into quarantine what belongs to no message, and messages that nobody
// can deliver, their texts first: an envelope without a text can do nothing, and a
// text without one would be removed in the end.
func (r *repairer) putAside(findings []finding) error {
	var whole []*unit
	for _, f := range findings {
		switch f.kind {
		case kindOrphan:
			if err := r.aside(f.file); err != nil {
				return err
			}
			f.unit.files[f.file.part] = nil
		case kindStrange:
			if f.file.mode.IsRegular() {
				if err := r.aside(f.file); err != nil {
					return err
				}
			}
		case kindDebris, kindRecords:
			whole = append(whole, f.unit)
		}
	}
	for _, u := range whole {
		for p := mess; p >= 0; p-- {
			if f := u.files[p]; f != nil {
				if err := r.aside(f); err != nil {
					return err
				}
				u.files[p] = nil
			}
		}
	}
	return r.sync()
}

// aside moves a file into quarantine, where its name is its part, its number and its
// inode number.
func (r *repairer) aside(f *file) error {
	number := f.id.String()
	if f.name != f.part.place(f.id) && filepath.Base(string(f.name)) != number {
		number = "strange"
	}
	return r.move(f.name, quarantine+queue.Name(fmt.Sprintf("/%v.%s.%d", f.part, number, f.inode)))
}

// takeOut moves messages with wrong numbers or in wrong places into moving, all of them
// before any gets its new number, which may be the old one of another.
func (r *repairer) takeOut(findings []finding) error {
	var units []*unit
	seen := map[*unit]bool{}
	for _, f := range findings {
		if (f.kind == kindName || f.kind == kindPlace) && f.unit.files[mess] != nil && !seen[f.unit] {
			seen[f.unit] = true
			units = append(units, f.unit)
			if err := os.Chtimes(r.dir.Path(f.unit.files[mess].name), r.now, time.Time{}); err != nil {
				return err
			}
		}
	}
	for _, group := range outward {
		for _, u := range units {
			for _, p := range group {
				f := u.files[p]
				if f == nil {
					continue
				}
				err := r.move(f.name, movingName(queue.ID(u.files[mess].inode), p))
				if errors.Is(err, errTaken) {
					err = r.aside(f)
				}
				if err != nil {
					return err
				}
			}
		}
		if err := r.sync(); err != nil {
			return err
		}
	}
	return nil
}

// bringIn moves what is in moving to where the inode number of its text says. What has
// lost its text stays.
func (r *repairer) bringIn() error {
	s := &snapshot{moving: map[queue.ID][]part{}}
	if err := s.readMoving(r.dir); err != nil {
		return err
	}
	for _, group := range slices.Backward(outward) {
		for id, there := range s.moving {
			for _, p := range there {
				if !slices.Contains(group, p) || p != mess && !r.home(id) {
					continue
				}
				if err := r.move(movingName(id, p), p.place(id)); err != nil && !errors.Is(err, errTaken) {
					return err
				}
			}
		}
		if err := r.sync(); err != nil {
			return err
		}
	}
	unix.Rmdir(r.dir.Path(moving)) // and the other one, if they are empty
	unix.Rmdir(r.dir.Path(quarantine))
	return nil
}

// home reports whether a message's text is where it belongs.
func (r *repairer) home(id queue.ID) bool {
	f, err := stat(r.dir, mess, mess.place(id))
	return err == nil && f.inode == uint64(id)
}

// move renames a file, over no other. One that has gone meanwhile needs no move.
func (r *repairer) move(from, to queue.Name) error {
	exists, err := r.dir.Exists(to)
	if err != nil {
		return err
	}
	if exists {
		return fmt.Errorf("move %s to %s: %w", from, to, errTaken)
	}
	err = os.Rename(r.dir.Path(from), r.dir.Path(to))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, n := range []queue.Name{from, to} {
		r.touched[filepath.Dir(r.dir.Path(n))] = true
	}
	return err
}

// sync has on disk what has been moved so far.
func (r *repairer) sync() error {
	for dir := range r.touched {
		if err := durable.Dir(dir); err != nil {
			return err
		}
	}
	clear(r.touched)
	return nil
}
