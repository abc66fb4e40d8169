// Package utmp lists who is logged in at which terminal, from the file that login
// programs keep, for qbiff. Where this package does not know the system's file,
// nobody is logged in.
//
// The file is written by root, and what is in it was often chosen by others: a line
// names a file below /dev only if Terminal says so.
package utmp

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// Entry is one login.
type Entry struct {
	User string
	Line string // of the terminal, below /dev
}

// Terminal returns the path of the terminal. There is none for a line that would lead
// elsewhere: one that begins with a slash, has a dot in it or is empty.
func (e Entry) Terminal() (path string, ok bool) {
	if e.Line == "" || e.Line[0] == '/' || strings.ContainsAny(e.Line, ".\x00") {
		return "", false
	}
	return "/dev/" + e.Line, true
}

// maxFile bounds how much of a file is looked at: thousands of logins.
const maxFile = 16 << 20

// List returns the logins in the system's file. Where that is absent there are none.
func List() ([]Entry, error) {
	if path == "" {
		return nil, nil
	}
	return list(path)
}

func list(path string) ([]Entry, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxFile {
		return nil, errors.New("not a file of logins: " + path)
	}
	data := make([]byte, fi.Size())
	n, err := f.ReadAt(data, 0)
	if n == 0 && len(data) > 0 {
		return nil, err
	}
	return parse(data[:n]), nil // of what was cut short meanwhile, what is left
}

// text returns what a field holds before its first NUL.
func text(field []byte) string {
	s, _, _ := strings.Cut(string(field), "\x00")
	return s
}
