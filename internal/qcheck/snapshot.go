package qcheck

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/queue"
)

// part is what a file is to its message.
type part int

// The parts, in the order in which their directories are read: a message on its way
// into the queue, or out of it, then looks like one of the states that it goes through.
const (
	todo part = iota
	intd
	info
	local
	remote
	bounce
	mess
	parts
)

var partNames = [parts]string{"todo", "intd", "info", "local", "remote", "bounce", "mess"}

func (p part) String() string { return partNames[p] }

// split reports whether the part's directory has subdirectories.
func (p part) split() bool { return p == mess || p == info || p == local || p == remote }

// place returns where the part of a message belongs.
func (p part) place(id queue.ID) queue.Name {
	name := queue.Name(p.String() + "/")
	if p.split() {
		name += queue.Name(strconv.FormatUint(uint64(id)%conf.Split, 10) + "/")
	}
	return name + queue.Name(id.String())
}

// file is a file of a message as it was found.
type file struct {
	part     part
	name     queue.Name
	id       queue.ID // as its name says
	inode    uint64
	links    uint64
	uid      int
	mode     fs.FileMode
	accessed int64
}

// unit is the files that have one number and belong together; nil are not there.
type unit struct {
	id    queue.ID
	files [parts]*file
}

// snapshot is a look at the queue.
type snapshot struct {
	units   []*unit
	strange []*file             // with names that no message has
	extra   []queue.Name        // subdirectories where no program looks
	moving  map[queue.ID][]part // what an interrupted repair has put aside, by inode number
}

// look reads the directories of the queue.
func look(dir queue.Dir) (*snapshot, error) {
	s := &snapshot{moving: map[queue.ID][]part{}}
	found := map[queue.ID][]*file{}
	for p := part(0); p < parts; p++ {
		subdirs := []queue.Name{queue.Name(p.String())}
		if p.split() {
			var err error
			if subdirs, err = s.subdirs(dir, p); err != nil {
				return nil, err
			}
		}
		for _, subdir := range subdirs {
			if err := s.read(dir, p, subdir, found); err != nil {
				return nil, err
			}
		}
	}
	for id, files := range found {
		s.units = append(s.units, divide(id, files)...)
	}
	return s, s.readMoving(dir)
}

// subdirs lists the numbered subdirectories of a part's directory. All else in it is
// strange.
func (s *snapshot) subdirs(dir queue.Dir, p part) (names []queue.Name, err error) {
	all, err := list(dir, queue.Name(p.String()))
	for _, name := range all {
		n := queue.Name(p.String() + "/" + name)
		number, ok := queue.ParseID(name)
		f, err := stat(dir, p, n)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		fi, err := os.Stat(dir.Path(n)) // the administrator may have put a link
		if !ok || err != nil || !fi.IsDir() {
			s.strange = append(s.strange, f)
			continue
		}
		names = append(names, n)
		if uint64(number) >= conf.Split {
			s.extra = append(s.extra, n)
		}
	}
	return names, err
}

// read takes up the files of one directory.
func (s *snapshot) read(dir queue.Dir, p part, subdir queue.Name, found map[queue.ID][]*file) error {
	names, err := list(dir, subdir)
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := stat(dir, p, subdir+"/"+queue.Name(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		id, ok := queue.ParseID(name)
		if !ok || id.String() != name {
			s.strange = append(s.strange, f)
			continue
		}
		f.id = id
		found[id] = append(found[id], f)
	}
	return nil
}

// list returns the names in a directory of the queue. One that is not there has none:
// that is said elsewhere.
func list(dir queue.Dir, subdir queue.Name) ([]string, error) {
	f, err := os.Open(dir.Path(subdir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err == io.EOF {
		err = nil
	}
	return names, err
}

func stat(dir queue.Dir, p part, name queue.Name) (*file, error) {
	fi, err := os.Lstat(dir.Path(name))
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir.Path(name), &st); err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: dir.Path(name), Err: err}
	}
	return &file{
		part: p, name: name, inode: uint64(st.Ino), links: uint64(st.Nlink), uid: int(st.Uid), mode: fi.Mode(), accessed: int64(st.Atim.Sec),
	}, nil
}

// divide makes units of the files with one number. They are one, wherever they lie, as
// long as no part is there twice. Else those of one subdirectory belong together, and
// what has no subdirectories goes with the message that lies where that number belongs.
func divide(id queue.ID, files []*file) []*unit {
	one := &unit{id: id}
	twice := false
	for _, f := range files {
		twice = twice || one.files[f.part] != nil
		one.files[f.part] = f
	}
	if !twice {
		return []*unit{one}
	}
	var units []*unit
	by := map[string]*unit{}
	at := func(subdir string) *unit {
		if by[subdir] == nil {
			by[subdir] = &unit{id: id}
			units = append(units, by[subdir])
		}
		return by[subdir]
	}
	right := strconv.FormatUint(uint64(id)%conf.Split, 10)
	for _, f := range files {
		subdir := right
		if f.part.split() {
			subdir = strings.Split(string(f.name), "/")[1]
		}
		at(subdir).files[f.part] = f
	}
	return units
}

// readMoving reads what an interrupted repair has put aside.
func (s *snapshot) readMoving(dir queue.Dir) error {
	names, err := list(dir, moving)
	for _, name := range names {
		if id, p, ok := parseMoving(name); ok {
			s.moving[id] = append(s.moving[id], p)
		}
	}
	return err
}

// movingName is the name of a part while its message is moved to the number of its
// inode.
func movingName(id queue.ID, p part) queue.Name {
	return moving + "/" + queue.Name(id.String()+"."+p.String())
}

func parseMoving(name string) (queue.ID, part, bool) {
	number, kind, _ := strings.Cut(name, ".")
	id, ok := queue.ParseID(number)
	for p := part(0); p < parts; p++ {
		if kind == p.String() && ok && id.String() == number {
			return id, p, true
		}
	}
	return 0, 0, false
}
