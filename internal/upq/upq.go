// Package upq brings the files of a queue to the subdirectories where programs with
// another split, or with a split at all, look for them. See spec "Administrative
// tools", section 12, and "The queue", section 2.
//
// A file has one place and is moved by a link and a removal: whenever that stops, it
// has its old name, its new one or both, and another run goes on from there. The lock
// of qmail-send is held meanwhile. Only the names count; no file is opened.
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
	m := &mover{p: p, dir: dir}
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
	moved, left int
}

// all brings one of the split directories into order.
func (m *mover) all(name string) error {
	top := m.dir.Path(queue.Name(name))
	for _, sub := range queue.Splits(name) {
		if err := m.make(top, m.dir.Path(sub)); err != nil {
			return prog.Fail("unable to create "+string(sub), err)
		}
	}
	if err := m.entries(name, ""); err != nil {
		return err
	}
	subs, err := os.ReadDir(top)
	if err != nil {
		return prog.Fail("unable to read "+name, err)
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
	return durable.Dir(top)
}

// make creates a subdirectory with the owner and the mode of the directory it is in.
func (m *mover) make(top, sub string) error {
	model, err := os.Stat(top)
	if err != nil {
		return err
	}
	if err := os.Mkdir(sub, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	if st, ok := model.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(sub, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(sub, model.Mode().Perm())
}

// remove removes a subdirectory that is not needed any more; one in which something
// is left stays, and is told of.
func (m *mover) remove(name string) {
	if err := os.Remove(m.dir.Path(queue.Name(name))); err != nil {
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
	files, err := os.ReadDir(m.dir.Path(queue.Name(from)))
	if err != nil {
		return prog.Fail("unable to read "+from, err)
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
		if err := durable.Dir(m.dir.Path(queue.Name(to))); err != nil {
			return prog.Fail("unable to sync "+to, err)
		}
	}
	return durable.Dir(m.dir.Path(queue.Name(from)))
}

// move gives a file its new name, unless another file has that.
func (m *mover) move(from, to string) error {
	old, fresh := m.dir.Path(queue.Name(from)), m.dir.Path(queue.Name(to))
	err := os.Link(old, fresh)
	if errors.Is(err, fs.ErrExist) && same(old, fresh) {
		err = nil // as an earlier run has left it
	}
	if err != nil {
		return prog.Fail("unable to move "+from+" to "+to, err)
	}
	if err := os.Remove(old); err != nil {
		return prog.Fail("unable to remove "+from, err)
	}
	return nil
}

func same(a, b string) bool {
	fa, err1 := os.Lstat(a)
	fb, err2 := os.Lstat(b)
	return err1 == nil && err2 == nil && os.SameFile(fa, fb)
}
