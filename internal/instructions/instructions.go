// Package instructions decides, by what is in a user's home directory, how a local
// delivery goes: whether the directory may be worked in, which .qmail file answers
// for the address, and under which sender mail is forwarded. See spec "Local
// delivery", sections 6 to 9.
//
// qmail-local delivers by it, as the user; qmail-explain tells of it, as anybody.
// The files are the user's, the extension that picks one is a stranger's: it can
// name no file outside the directory (package dotqmail). What cannot be found out
// delays mail.
package instructions

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/dotqmail"
	"quail/internal/durable"
	"quail/internal/errno"
)

// Refusal is why no delivery is made, in the words of qmail-local's report.
type Refusal struct {
	Permanent bool
	Text      string
	Err       error // of the system, if it was one
}

func (r *Refusal) Error() string { return r.Text }
func (r *Refusal) Unwrap() error { return r.Err }

// refuse is a refusal for now that no system call is to blame for.
func refuse(text string) error { return &Refusal{Text: text} }

// temporary is a refusal for now because of a system error: "WHAT: ERR. (CODE)".
func temporary(what string, err error, code string) error {
	return &Refusal{Text: what + ": " + errno.Text(err) + ". (" + code + ")", Err: err}
}

// Home is a home directory that mail may be delivered in.
type Home struct {
	Dir    string
	Device uint64 // the number of its file system
	// Sticky says that the owner asks for a pause, by the sticky bit.
	Sticky bool
}

// ErrSticky is why nothing is delivered in a sticky home.
var ErrSticky = refuse("Home directory is sticky: user is editing his .qmail file. (#4.2.1)")

// Open looks at a home directory. One that cannot be entered, or that others can
// write to, is refused.
func Open(dir string) (Home, error) {
	// "/." needs the permission to search the directory, as chdir does.
	var st unix.Stat_t
	err := error(unix.EINTR)
	for err == unix.EINTR {
		err = unix.Stat(dir+"/.", &st)
	}
	if err != nil {
		return Home{}, temporary("Unable to switch to "+dir, err, "#4.3.0")
	}
	h := Home{Dir: dir, Device: uint64(st.Dev), Sticky: st.Mode&unix.S_ISVTX != 0}
	if uint32(st.Mode)&conf.Patrn != 0 {
		return h, refuse("Uh-oh: home directory is writable. (#4.7.0)")
	}
	return h, nil
}

// Path returns where a name in the home directory, or an absolute one, is. It is
// not cleaned: "x/.." is not always here.
func (h Home) Path(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return h.Dir + "/" + name
}

// File is a .qmail file, or what stands for it.
type File struct {
	dotqmail.Name
	Found bool // there is a file; else it is the user's own address, without one
	// Body is the text to be followed, unless Fallback says that it is the default
	// delivery: there is no file, or it is empty.
	Body     []byte
	Fallback bool
	// ForwardOnly says that the file's x bit is set.
	ForwardOnly bool
}

// Find reads the file that answers for the address. A refusal is about that file;
// it is permanent if there is none and the address has an extension.
func (h Home) Find(dash, ext string) (File, error) {
	f, name, err := h.open(dash, ext)
	if err != nil {
		return File{Name: name, Found: true}, err
	}
	if f == nil {
		if dash != "" {
			return File{}, &Refusal{Permanent: true, Text: "Sorry, no mailbox here by that name. (#5.1.1)"}
		}
		return File{Fallback: true}, nil
	}
	defer f.Close()
	file := File{Name: name, Found: true}
	fi, err := f.Stat()
	if err == nil && fi.Size() == 0 {
		file.Fallback = true
		return file, nil
	}
	if err == nil {
		file.ForwardOnly = fi.Mode()&0o100 != 0
		file.Body, err = io.ReadAll(f)
	}
	if err != nil {
		return file, temporary("Unable to read "+name.File, err, "#4.3.0")
	}
	return file, nil
}

// open opens the file that answers for the address; it is nil if none does. A file
// that is there and cannot be opened is not absent: the mail waits.
func (h Home) open(dash, ext string) (*os.File, dotqmail.Name, error) {
	for name := range dotqmail.Names(dash, ext) {
		f, err := openRegular(h.Path(name.File))
		switch {
		case err == nil && f != nil:
			if fi, err := f.Stat(); err == nil && uint32(fi.Mode().Perm())&conf.Patrn != 0 {
				f.Close()
				return nil, name, refuse("Uh-oh: .qmail file is writable. (#4.7.0)")
			}
			return f, name, nil
		case errno.Temporary(err), errors.Is(err, os.ErrPermission):
			return nil, name, temporary("Unable to open "+name.File, err, "#4.3.0")
		}
	}
	return nil, dotqmail.Name{}, nil
}

// openRegular opens a file to read. A directory, fifo or the like is nil without
// an error.
func openRegular(path string) (*os.File, error) {
	f, err := durable.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && fi.Mode().IsRegular() {
		return f, nil
	}
	f.Close()
	return nil, err
}

// NewSender returns the sender under which mail of this delivery is forwarded, and
// the owner files that make it so: none, one or both.
func (h Home) NewSender(d dotqmail.Delivery) (sender string, owners []string, err error) {
	if d.CanBounce() {
		for _, name := range []string{dotqmail.Owner(d.Dash, d.Ext), dotqmail.OwnerDefault(d.Dash, d.Ext)} {
			_, err := os.Stat(h.Path(name))
			if errno.Temporary(err) {
				return "", nil, temporary("Unable to open "+name, err, "#4.3.0")
			}
			if err != nil {
				break
			}
			owners = append(owners, name)
		}
	}
	return d.NewSender(len(owners) > 0, len(owners) > 1), owners, nil
}
