// Package queue owns the directory HOME/queue: names, states and the order in
// which files appear and go. See spec "The queue", sections 2 to 5 and 9 to 14.
//
// A message's number is the inode number of its mess file. Its files move it
// through these states, + there, - not there, ? either:
//
//	     mess intd todo info local remote bounce
//	S1    -    -    -    -    -     -      -     unused
//	S2    +    -    -    -    -     -      -     being written, removed, or debris
//	S3    +    +    -    -    -     -      -     envelope being written, or debris
//	S4    +    ?    +    ?    ?     ?      -     queued
//	S5    +    -    -    +    ?     ?      ?     preprocessed
//
// Enter takes S1 to S4, and nothing of a message may be acknowledged before it has
// returned. Preprocess takes S4 to S5, up to the removal of todo. Removing info
// commits the end of a message.
//
// Differs from qmail: the directory entries that name a message are synced before
// it is acknowledged, since Linux file systems do not promise to do so.
//
// Whoever can write here is qmailq or qmails. Bytes in the files come from any
// local user and are never more than records of package envelope.
package queue

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/durable"
	"quail/internal/nowait"
)

// Times that programs on both sides of the queue rely on.
const (
	// Death is how long qmail-queue may take over one message. It must stay below
	// Ossified, so that qmail-send never removes a file that a live qmail-queue
	// holds.
	Death = 24 * time.Hour
	// Ossified is the age, by access time, at which debris is removed.
	Ossified = 36 * time.Hour
)

// ID is the number of a message.
type ID uint64

// String returns the number as file names have it.
func (id ID) String() string { return strconv.FormatUint(uint64(id), 10) }

// ParseID reads a file name; names of anything but decimal digits are not ours.
//
// Differs from qmail: neither are numbers that are too large, which wrap there.
func ParseID(name string) (ID, bool) {
	for i := 0; i < len(name); i++ {
		if name[i] < '0' || name[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(name, 10, 64)
	return ID(n), err == nil
}

// Name is a file's path relative to the queue directory, as log lines show it.
type Name string

func (id ID) split(dir string) Name {
	return Name(dir + "/" + strconv.FormatUint(uint64(id)%conf.Split, 10) + "/" + id.String())
}

// The files of a message.
func (id ID) Mess() Name   { return id.split("mess") }
func (id ID) Info() Name   { return id.split("info") }
func (id ID) Intd() Name   { return Name("intd/" + id.String()) }
func (id ID) Todo() Name   { return Name("todo/" + id.String()) }
func (id ID) Bounce() Name { return Name("bounce/" + id.String()) }

// Recipients is the file of the recipients that a channel has to serve.
func (id ID) Recipients(c Channel) Name { return id.split(c.String()) }

// Channel is one of the two ways out of the queue.
type Channel int

// The channels, in the order in which everything looks at them.
const (
	Local Channel = iota
	Remote
)

// Channels lists them.
var Channels = [...]Channel{Local, Remote}

// String is the channel's name in the queue and in log lines.
func (c Channel) String() string {
	if c == Local {
		return "local"
	}
	return "remote"
}

// Dir is the queue directory, an absolute path.
type Dir string

// In returns the queue of a qmail home.
func In(home string) Dir { return Dir(filepath.Join(home, "queue")) }

// Path returns the full path of a file of the queue.
func (d Dir) Path(n Name) string { return string(d) + "/" + string(n) }

// Error is a failed operation on one file of the queue. Doing says what could not
// be done, as in "unable to open".
type Error struct {
	Doing string
	Name  Name
	Err   error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Doing, e.Name, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Exists reports whether a file is there. An error means that nobody can tell.
func (d Dir) Exists(n Name) (bool, error) {
	_, err := os.Lstat(d.Path(n))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &Error{"unable to stat", n, err}
	}
	return true, nil
}

// Remove unlinks a file; one that is not there is as good as removed.
//
// Differs from qmail: that is so for every file, also for those that qmail-send
// itself should find and that somebody has taken away under its hands.
func (d Dir) Remove(n Name) error {
	if err := nowait.Unlink(d.Path(n)); err != nil && err != unix.ENOENT {
		return &Error{"unable to unlink", n, err}
	}
	return nil
}

// syncDir makes the entries of a file's directory durable.
func (d Dir) syncDir(n Name) error {
	dir := Name(filepath.Dir(string(n)))
	if err := durable.Dir(d.Path(dir)); err != nil {
		return &Error{"trouble fsyncing", dir, err}
	}
	return nil
}

// Scan lists the message numbers in one directory of the queue, such as "todo" or
// "info/3", in the order of the directory. Other names are passed over.
type Scan struct {
	dir   Name
	f     *os.File
	names []string
}

// OpenScan begins a scan.
func (d Dir) OpenScan(dir Name) (*Scan, error) {
	f, err := durable.OpenFile(d.Path(dir), os.O_RDONLY, 0)
	if err != nil {
		return nil, &Error{"unable to opendir", dir, err}
	}
	return &Scan{dir: dir, f: f}, nil
}

// Next returns the next number; io.EOF ends the scan. What appears or goes while
// a scan is open may or may not be seen.
func (s *Scan) Next() (ID, error) {
	for {
		for len(s.names) > 0 {
			name := s.names[0]
			s.names = s.names[1:]
			if id, ok := ParseID(name); ok {
				return id, nil
			}
		}
		names, err := s.f.Readdirnames(256)
		if len(names) == 0 && err == io.EOF {
			return 0, io.EOF
		}
		if len(names) == 0 && err != nil {
			return 0, &Error{"trouble reading", s.dir, err}
		}
		s.names = names
	}
}

// Close ends the scan.
func (s *Scan) Close() { s.f.Close() }

// Splits lists the subdirectories of a split directory: "info/0", "info/1", ….
func Splits(dir string) []Name {
	out := make([]Name, conf.Split)
	for i := range out {
		out[i] = Name(dir + "/" + strconv.Itoa(i))
	}
	return out
}
