// Package control reads the files in HOME/control. See spec README, "Control
// files" and "In-memory maps built from lists".
//
// The files are the administrator's. A file that is absent stands for its
// default; one that exists and cannot be read is an error, which every program
// treats as temporary: nothing is guessed. A value is never cached here; who
// keeps one looks at Dir again at each job.
package control

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"quail/internal/mailaddr"
)

// Dir is a directory of control files, such as HOME/control or HOME/users.
type Dir string

// In returns the control directory of a qmail home.
func In(home string) Dir { return Dir(filepath.Join(home, "control")) }

// read returns a file's contents and whether it exists.
func (d Dir) read(name string) (contents string, exists bool, err error) {
	return d.readChecked(name, nil)
}

func (d Dir) readChecked(name string, check func(fd int) error) (contents string, exists bool, err error) {
	b, err := d.readFile(name, check)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read control file: %w", err)
	}
	return string(b), true, nil
}

// readFile is os.ReadFile without the five system calls by which that finds out that
// a control file never has to be waited for: some programs read ten and do little else.
// check, if not nil, may find something wrong with the open file.
func (d Dir) readFile(name string, check func(fd int) error) (b []byte, err error) {
	path := filepath.Join(string(d), name)
	var fd int
	if err := again(func() error { fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0); return err }); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if check != nil {
		if err := check(fd); err != nil {
			return nil, &fs.PathError{Op: "use", Path: path, Err: err}
		}
	}
	for b = make([]byte, 0, 512); ; b = slices.Grow(b, len(b)) {
		for len(b) < cap(b) {
			n := 0
			if err := again(func() error { n, err = unix.Read(fd, b[len(b):cap(b)]); return err }); err != nil {
				return nil, &fs.PathError{Op: "read", Path: path, Err: err}
			}
			if n == 0 {
				return b, nil
			}
			b = b[:len(b)+n]
		}
	}
}

// again repeats a system call that a signal interrupts.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// Line returns the first line without trailing spaces, tabs and newlines. A file
// that exists but is empty is set, to nothing: no default applies to it.
func (d Dir) Line(name string) (value string, set bool, err error) {
	contents, set, err := d.read(name)
	line, _, _ := strings.Cut(contents, "\n")
	return trim(line), set, err
}

// LineOr returns the Line of name, or of me if name is absent, or word.
func (d Dir) LineOr(name, word string) (string, error) {
	return (&Lines{Dir: d}).Or(name, word)
}

// Lines reads several files that me stands in for, which it reads once.
type Lines struct {
	Dir Dir

	read, set bool // of me
	me        string
}

// Or is Dir.LineOr.
func (l *Lines) Or(name, word string) (string, error) {
	if value, set, err := l.Dir.Line(name); set || err != nil {
		return value, err
	}
	if !l.read {
		var err error
		if l.me, l.set, err = l.Dir.Line("me"); err != nil {
			return "", err
		}
		l.read = true
	}
	if l.set {
		return l.me, nil
	}
	return word, nil
}

// Names are what addresses that are not complete are completed with.
type Names struct{ Host, Domain, Plus string }

// Names reads them, for programs that complete addresses outside of messages.
func (d Dir) Names() (n Names, err error) {
	lines := Lines{Dir: d}
	if n.Host, err = lines.Or("defaulthost", Me); err != nil {
		return n, err
	}
	if n.Domain, err = lines.Or("defaultdomain", Me); err != nil {
		return n, err
	}
	n.Plus, err = lines.Or("plusdomain", Me)
	return n, err
}

// Int returns the number that the first line begins with; what follows it is
// ignored. Without a digit, or without a file, the number is def.
func (d Dir) Int(name string, def int) (int, error) {
	line, _, err := d.Line(name)
	if err != nil {
		return 0, err
	}
	if line == "" || line[0] < '0' || line[0] > '9' {
		return def, nil
	}
	return Number(line), nil
}

// Number reads the digits that s begins with; it is 0 without any. A number that
// does not fit stops at the largest one instead of wrapping as qmail's would.
func Number(s string) int {
	end := 0
	for end < len(s) && '0' <= s[end] && s[end] <= '9' {
		end++
	}
	n, _ := strconv.ParseInt(s[:end], 10, strconv.IntSize) // out of range gives the largest
	return int(n)
}

// Text returns a file as it is, for those whose form is not ours.
func (d Dir) Text(name string) (text string, set bool, err error) { return d.read(name) }

// List returns the lines of a file, trailing spaces and tabs stripped, without
// those that are then empty or begin with # or NUL. A NUL further on divides a
// line into items.
func (d Dir) List(name string) (items []string, set bool, err error) {
	contents, set, err := d.read(name)
	return divide(contents), set, err
}

// ErrExposed is the error about a file of secrets that others than its owner may use.
var ErrExposed = errors.New("others than its owner may read it: its mode should be 0400")

// Secrets is List for a file that only its owner may read: one with another mode is
// ErrExposed, since what stands there may be known to anybody. Who can read it and is
// not root is its owner then.
func (d Dir) Secrets(name string) (items []string, set bool, err error) {
	contents, set, err := d.readChecked(name, func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if st.Mode&0o077 != 0 {
			return ErrExposed
		}
		return nil
	})
	return divide(contents), set, err
}

func divide(contents string) (items []string) {
	for _, line := range strings.Split(contents, "\n") {
		if line = trim(line); line != "" && line[0] != '#' && line[0] != 0 {
			items = append(items, strings.Split(line, "\x00")...)
		}
	}
	return items
}

// Map is a list looked up without regard to ASCII case.
type Map map[string]string

// Set returns the List of name as a map without values.
func (d Dir) Set(name string) (m Map, set bool, err error) {
	items, set, err := d.List(name)
	return NewSet(items), set, err
}

// NewSet makes a map without values out of items.
func NewSet(items []string) Map {
	m := make(Map, len(items))
	for _, item := range items {
		m[mailaddr.Lower(item)] = ""
	}
	return m
}

// Map returns the List of name as a map: each line divided at its first colon,
// lines without one ignored, the last of equal keys counting.
func (d Dir) Map(name string) (m Map, set bool, err error) {
	items, set, err := d.List(name)
	m = make(Map, len(items))
	for _, item := range items {
		if key, value, ok := strings.Cut(item, ":"); ok {
			m[mailaddr.Lower(key)] = value
		}
	}
	return m, set, err
}

// Lookup returns the value under key, whose case does not matter.
func (m Map) Lookup(key string) (value string, ok bool) {
	value, ok = m[mailaddr.Lower(key)]
	return value, ok
}

// Has reports whether key is in the map.
func (m Map) Has(key string) bool {
	_, ok := m.Lookup(key)
	return ok
}

func trim(line string) string { return strings.TrimRight(line, " \t\n") }
