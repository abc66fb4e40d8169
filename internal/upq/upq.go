// Package upq brings the files of a queue to the subdirectories where programs with
// another split, or with a split at all, look for them. See spec "Administrative
// tools", section 12, and "The queue", section 2.
//
// A file has one place and is moved by a link and a removal: whenever that stops, it
// has its old name, its new one or both, and another run goes on from there. The lock
// of qmail-send is held meanwhile. Only the names count; no file is opened.
//
// Root works here in directories of qmailq and qmails, who may be enemies: no link of
// theirs leads out of the queue, since all names are looked up from there, and nothing
// is given away but a directory that was made here.
package upq

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"quail/internal/conf"
	"quail/internal/durable"
	"quail/internal/prog"
	"quail/internal/queue"
)

// split lists the directories that have subdirectories.
var split = []string{"mess", "info", "local", "remote"}

// Run is qmail-upq.
func Run(p *prog.Process) error {
	dir := queue.In(conf.Home)
	lock, busy, err := dir.Lock()
	if busy {
		return errors.New("qmail-send is running: stop it first")
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	root, err := os.OpenRoot(string(dir))
	if err != nil {
		return prog.Fail("unable to open the queue", err)
	}
	defer root.Close()
	m := &mover{p: p, dir: dir, root: root}
	for _, name := range split {
		if err := m.all(name); err != nil {
			return err
		}
	}
	fmt.Fprintf(p.Stdout, "%d files moved\n", m.moved)
	if m.left > 0 {
		return fmt.Errorf("%d could not be moved", m.left)
	}
	return nil
}

type mover struct {
	p           *prog.Process
	dir         queue.Dir
	root        *os.Root // of dir
	moved, left int
}

// all brings one of the split directories into order.
func (m *mover) all(name string) error {
	for _, sub := range queue.Splits(name) {
		if err := m.make(name, string(sub)); err != nil {
			return prog.Fail("unable to create "+string(sub), err)
		}
	}
	if err := m.entries(name, ""); err != nil {
		return err
	}
	subs, err := m.list(name)
	if err != nil {
		return err
	}
	for _, sub := range subs {
		n, ok := queue.ParseID(sub.Name())
		if !ok || !sub.IsDir() {
			continue
		}
		if err := m.entries(name, sub.Name()); err != nil {
			return err
		}
		if uint64(n) >= conf.Split {
			m.remove(filepath.Join(name, sub.Name()))
		}
	}
	return m.sync(name)
}

// make creates a subdirectory with the owner and the mode of the directory it is in.
func (m *mover) make(top, sub string) error {
	if err := m.root.Mkdir(sub, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	model, err := m.root.Stat(top)
	if err != nil {
		return err
	}
	f, err := m.root.Open(sub)
	if err != nil {
		return err
	}
	defer f.Close()
	made, err := f.Stat()
	if err != nil {
		return err
	}
	like, ok1 := model.Sys().(*syscall.Stat_t)
	st, ok2 := made.Sys().(*syscall.Stat_t)
	if !ok1 || !ok2 || !made.IsDir() || int(st.Uid) != os.Geteuid() {
		return errors.New("something else has taken its place")
	}
	if err := f.Chown(int(like.Uid), int(like.Gid)); err != nil {
		return err
	}
	return f.Chmod(model.Mode().Perm())
}

// list returns what is in a directory of the queue.
func (m *mover) list(name string) ([]fs.DirEntry, error) {
	f, err := m.root.Open(name)
	if err != nil {
		return nil, prog.Fail("unable to read "+name, err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, prog.Fail("unable to read "+name, err)
	}
	return entries, nil
}

func (m *mover) sync(name string) error {
	if err := durable.Dir(m.dir.Path(queue.Name(name))); err != nil {
		return prog.Fail("unable to sync "+name, err)
	}
	return nil
}

// remove removes a subdirectory that is not needed any more; one in which something
// is left stays, and is told of.
func (m *mover) remove(name string) {
	if err := m.root.Remove(name); err != nil {
		m.complain(prog.Fail("unable to remove "+name, err))
	}
}

func (m *mover) complain(err error) {
	m.left++
	fmt.Fprintf(m.p.Stderr, "%s: warning: %v\n", m.p.Name, err)
}

// entries moves those files of name/sub that belong elsewhere below name.
func (m *mover) entries(name, sub string) error {
	from := filepath.Join(name, sub)
	files, err := m.list(from)
	if err != nil {
		return err
	}
	targets := map[string]bool{}
	for _, file := range files {
		id, ok := queue.ParseID(file.Name())
		if !ok || !file.Type().IsRegular() || id.String() != file.Name() {
			continue
		}
		to := filepath.Join(name, strconv.FormatUint(uint64(id)%conf.Split, 10))
		if to == from {
			continue
		}
		if err := m.move(filepath.Join(from, file.Name()), filepath.Join(to, file.Name())); err != nil {
			m.complain(err)
			continue
		}
		m.moved++
		targets[to] = true
	}
	// The new names first: they must not be lost with the old ones.
	for to := range targets {
		if err := m.sync(to); err != nil {
			return err
		}
	}
	return m.sync(from)
}

// move gives a file its new name, unless another file has that.
func (m *mover) move(from, to string) error {
	err := m.root.Link(from, to)
	if errors.Is(err, fs.ErrExist) && m.same(from, to) {
		err = nil // as an earlier run has left it
	}
	if err != nil {
		return prog.Fail("unable to move "+from+" to "+to, err)
	}
	if err := m.root.Remove(from); err != nil {
		return prog.Fail("unable to remove "+from, err)
	}
	return nil
}

func (m *mover) same(a, b string) bool {
	fa, err1 := m.root.Lstat(a)
	fb, err2 := m.root.Lstat(b)
	return err1 == nil && err2 == nil && os.SameFile(fa, fb)
}
