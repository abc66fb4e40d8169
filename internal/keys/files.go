package keys

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"quail/internal/control"
	"quail/internal/keywire"
	"quail/internal/prog"
)

// The control file that names certificates, and the one that is there without it.
const (
	listName = "tlscerts"
	oneName  = "servercert.pem"
)

// anywhere makes stamps of files by their whole names.
const anywhere = control.Dir("")

// files are those that certificates are read from.
type files struct {
	p       *prog.Process
	control control.Dir
	names   []string      // all that was looked for, absolute
	stamp   control.Stamp // of names, before they were read
	seen    control.Stamp // of names, when they were last looked at
	handed  [sha256.Size]byte
	said    string // what is wrong with tlscerts, as far as it has been said
}

// forget has the next look find everything changed, and at rest.
func (f *files) forget() { f.stamp, f.seen = nil, anywhere.Stamp(f.names...) }

// changed looks at the files. It returns what is to be handed over, or nil.
func (f *files) changed() []byte {
	now, before := anywhere.Stamp(f.names...), f.seen
	f.seen = now
	// One that cannot be looked at is never the same, not even as itself.
	atRest := now.Same(before) || !now.Same(now)
	if now.Same(f.stamp) || !atRest {
		return nil
	}
	last := f.handed
	if set := f.read(); f.handed != last {
		return set
	}
	return nil
}

// read reads the files and returns the bytes of a set; nil if tlscerts cannot be read,
// since nothing is known then.
func (f *files) read() []byte {
	list := string(f.control) + "/" + listName
	f.names, f.stamp = []string{list}, anywhere.Stamp(list)
	lines, set, err := f.control.List(listName)
	switch {
	case err != nil:
		f.say(prog.Fail("unable to read "+list, err).Error())
		return nil
	case len(lines) > keywire.MaxEntries:
		f.say(fmt.Sprintf("%s: only the first %d lines are used", list, keywire.MaxEntries))
		lines = lines[:keywire.MaxEntries]
	default:
		f.say("")
	}
	var sources []source
	if !set {
		one := f.source(oneName)
		if _, err := os.Lstat(one.certificate); !os.IsNotExist(err) {
			sources = append(sources, one)
		}
	}
	for _, line := range lines {
		sources = append(sources, f.source(line))
	}
	entries := make([]keywire.Entry, len(sources))
	for i, s := range sources {
		entries[i] = s.read()
	}
	bytes := keywire.AppendEntries(nil, entries)
	f.handed = sha256.Sum256(bytes)
	return bytes
}

// say says what is wrong with tlscerts, once.
func (f *files) say(what string) {
	if what != "" && what != f.said {
		fmt.Fprintf(f.p.Stderr, "qmail-keys: warning: %s\n", what)
	}
	f.said = what
}

// source is the files of an entry.
type source struct {
	name             string
	certificate, key string
	needsKey         bool // there is no certificate without the file key
}

// source returns the files of a line, which are looked at from now on.
func (f *files) source(line string) source {
	path := line
	if !filepath.IsAbs(path) {
		path = string(f.control) + "/" + path
	}
	s := source{line, path, strings.TrimSuffix(path, filepath.Ext(path)) + ".key", false}
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		s = source{line, path + "/fullchain.pem", path + "/privkey.pem", true}
		f.watch(path)
	}
	f.watch(s.certificate, s.key)
	return s
}

func (f *files) watch(names ...string) {
	f.names = append(f.names, names...)
	f.stamp = append(f.stamp, anywhere.Stamp(names...)...)
}

// read reads the files.
func (s source) read() (e keywire.Entry) {
	e.Name = s.name
	var err error
	if e.Certificate, err = readFile(s.certificate); err == nil {
		e.Key, err = readFile(s.key)
		if errors.Is(err, os.ErrNotExist) && !s.needsKey {
			err = nil
		}
	}
	if err != nil {
		e = keywire.Entry{Name: s.name, Trouble: err.Error()}
	}
	return e
}

// readFile reads a file that may be anything, and waits for nothing.
func readFile(path string) (b []byte, err error) {
	defer func() {
		if err != nil {
			err = prog.Fail("unable to read "+path, err)
		}
	}()
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, errKind
	}
	if b, err = io.ReadAll(io.LimitReader(f, keywire.MaxFile+1)); err == nil && len(b) > keywire.MaxFile {
		err = errSize
	}
	return b, err
}

var (
	errKind = errors.New("not a file")
	errSize = fmt.Errorf("more than %d bytes", keywire.MaxFile)
)
