// Package relayctl is the directory in which relay-ctrl keeps who has logged in lately.
// See spec "Network", part B.
//
// There is one file for each address, named by it: IPv4 as four numbers, IPv6 in the form
// of RFC 5952, as TCPREMOTEIP has them. Its time of modification is that of the last
// login. It holds, if they are known,
//
//	USER=name NUL
//	DOMAIN=domain NUL
//
// It is written under a name of its own, .SECONDS.MICROSECONDS:PID, and renamed. Where a
// login ends while its file is being written such a name is left, until its age is up.
//
// The directory may be one that anybody can write to who can reach it: each login writes
// as the user that it is of. So nothing in it is believed but a regular file, no link is
// followed, nothing is waited for, and of what is in a file only the two names above count.
//
// Differs from qmail: relay-ctrl follows links, waits for the writer of a FIFO, and puts
// whatever an entry has into the environment of the SMTP server, where QMAILQUEUE and PATH
// decide which programs are run.
//
// Nothing here takes longer because there are many entries, but for Age.
package relayctl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Name returns the name of the file for an address, and whether it is one. IPv4 addresses
// that are written as IPv6, as couriertcpd does, are themselves, and a zone does not count.
func Name(address string) (name string, ok bool) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "", false
	}
	return ip.Unmap().WithZone("").String(), true
}

// Settings are what a file holds: NAME=VALUE strings.
type Settings []string

// names are those that count.
var names = []string{"USER", "DOMAIN"}

// longest is how much of a file counts, in bytes.
const longest = 8192

// Select returns those of an environment's strings that belong into a file.
func Select(env []string) (s Settings) {
	for _, name := range names {
		for _, setting := range env {
			if strings.HasPrefix(setting, name+"=") {
				s = append(s, setting)
				break
			}
		}
	}
	return s
}

// print returns the contents of a file.
func (s Settings) print() (b []byte) {
	for _, setting := range s {
		b = append(append(b, setting...), 0)
	}
	return b
}

// parse reads the contents of a file. What does not count is passed over, and so is an
// end without a NUL.
func parse(b []byte) (s Settings) {
	for rest := string(b[:min(len(b), longest)]); ; {
		setting, after, ended := strings.Cut(rest, "\x00")
		if !ended {
			return s
		}
		if name, _, found := strings.Cut(setting, "="); found && slices.Contains(names, name) {
			s = append(s, setting)
		}
		rest = after
	}
}

// Dir is such a directory: an open descriptor, or, if there is a path, what is there.
type Dir struct {
	fd   int
	path string
}

// At returns the directory that is at path whenever it is used.
func At(path string) Dir { return Dir{unix.AT_FDCWD, path} }

// Descriptor returns the directory that a descriptor is open for. It is never closed: it
// may be shared by all jobs of a process.
func Descriptor(fd int) Dir { return Dir{fd, ""} }

// Open opens the directory at path, for as long as the process lives.
func Open(path string) (Dir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Dir{}, err
	}
	return Descriptor(fd), nil
}

// FD returns the descriptor of a directory that was opened.
func (d Dir) FD() int { return d.fd }

// at returns what system calls find the entry name by.
func (d Dir) at(name string) (fd int, path string) {
	if d.path != "" {
		name = d.path + "/" + name
	}
	return d.fd, name
}

// Check tells why there is no directory, if there is none.
func (d Dir) Check() error {
	var st unix.Stat_t
	var err error
	if d.path != "" {
		err = unix.Stat(d.path, &st)
	} else {
		err = unix.Fstat(d.fd, &st)
	}
	switch {
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return unix.ENOTDIR
	case st.Nlink == 0: // removed, and nothing can be put there any more
		return unix.ENOENT
	}
	return nil
}

// Entry is the last login from an address.
type Entry struct {
	Last     time.Time // to the second
	Settings Settings
}

// Expired reports whether the entry, at now, is older than it may be, or from a clock that
// was ahead by more than that and has been set back.
//
// Differs from qmail: relay-ctrl believes an entry of the future until that has come, and
// its age leaves it.
func (e Entry) Expired(now time.Time, expiry time.Duration) bool {
	return e.Last.Add(expiry).Before(now.Truncate(time.Second)) || now.Add(expiry).Before(e.Last)
}

// ErrForm is that something else than a file is in the place of an entry.
var ErrForm = errors.New("Not a regular file")

// Find returns the entry of a name that Name has made; fs.ErrNotExist says that there is
// none.
func (d Dir) Find(name string) (e Entry, err error) {
	fd, path := d.at(name)
	// O_NONBLOCK: a FIFO has no writer to be waited for.
	opened, err := unix.Openat(fd, path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return e, err
	}
	f := os.NewFile(uintptr(opened), name)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(opened, &st); err != nil {
		return e, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return e, ErrForm
	}
	contents, err := io.ReadAll(io.LimitReader(f, longest))
	if err != nil {
		return e, err
	}
	return Entry{Last: time.Unix(st.Mtim.Unix()), Settings: parse(contents)}, nil
}

// Expire removes the entry of a name that Name has made, which has been found expired.
// Another login may have replaced it since: so it is moved to a name where none does, made
// of pid, looked at once more, and moved back if it is not the one that was found. What
// a process that is killed leaves there is for Age.
//
// Differs from qmail: relay-ctrl removes whatever has the name by then, and the client
// that has just logged in may not send.
func (d Dir) Expire(name string, now time.Time, expiry time.Duration, pid int) error {
	fd, path := d.at(name)
	_, aside := d.at(fmt.Sprintf(".%s:%d", name, pid))
	if err := unix.Renameat(fd, path, fd, aside); err != nil {
		return err
	}
	entry, err := status(fd, aside)
	if err == nil && entry.Expired(now, expiry) {
		if err = unix.Unlinkat(fd, aside, 0); err == nil {
			return nil
		}
	}
	return errors.Join(err, unix.Renameat(fd, aside, fd, path))
}

// status returns when what there is at path was last changed.
func status(fd int, path string) (e Entry, err error) {
	var st unix.Stat_t
	if err = unix.Fstatat(fd, path, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		e.Last = time.Unix(st.Mtim.Unix())
	}
	return e, err
}

// Record makes or replaces the entry of a name that Name has made: the last login is now.
// Its file has exactly that mode. now and pid make the name of the draft, which must be
// unique.
func (d Dir) Record(name string, s Settings, mode uint32, now time.Time, pid int) error {
	draft := fmt.Sprintf(".%d.%d:%d", now.Unix(), now.Nanosecond()/1000, pid)
	fd, path := d.at(draft)
	opened, err := unix.Openat(fd, path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, mode)
	if err != nil {
		return fmt.Errorf("Could not open '%s' for writing: %s", draft, Reason(err))
	}
	f := os.NewFile(uintptr(opened), draft)
	err = unix.Fchmod(opened, mode) // whatever the umask is
	if err == nil {
		_, err = f.Write(s.print())
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		err = fmt.Errorf("Could not write to '%s': %s", name, Reason(err))
	} else {
		_, entry := d.at(name)
		if err = unix.Renameat(fd, path, fd, entry); err == nil {
			return nil
		}
		err = fmt.Errorf("Could not rename '%s' to '%s': %s", draft, name, Reason(err))
	}
	unix.Unlinkat(fd, path, 0)
	return err
}

// Reason returns the words of the C library for a system error: those of the original.
func Reason(err error) string {
	var no syscall.Errno
	if !errors.As(err, &no) {
		return err.Error()
	}
	text := no.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// batch is how many names are read at once.
const batch = 1024

// Age removes everything in an open directory that has expired, be it an entry, a draft
// that was left, or neither. What cannot be removed stays: the error is that of the first.
func (d Dir) Age(now time.Time, expiry time.Duration, pid int) error {
	list, err := unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(list), "directory")
	defer f.Close()
	var first error
	for {
		found, err := f.Readdirnames(batch)
		for _, name := range found {
			err := d.age(name, now, expiry, pid)
			if err != nil && !errors.Is(err, fs.ErrNotExist) && first == nil {
				first = fmt.Errorf("Could not remove '%s': %s", name, Reason(err))
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return first
		case err != nil:
			return err
		}
	}
}

// age removes what has a name if it has expired. Only an entry may be replaced meanwhile.
func (d Dir) age(name string, now time.Time, expiry time.Duration, pid int) error {
	entry, err := status(d.fd, name)
	if err != nil || !entry.Expired(now, expiry) {
		return err
	}
	if of, ok := Name(name); ok && of == name {
		return d.Expire(name, now, expiry, pid)
	}
	return unix.Unlinkat(d.fd, name, 0)
}
