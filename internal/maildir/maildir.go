// Package maildir delivers into a Maildir, the mailbox in which each message is a
// file of its own: written under tmp, linked into new when it is complete, moved to
// cur by the reader who has seen it. See contract 10 and spec "Local delivery",
// section 13.
//
// The directory is the recipient's own and other programs work in it at the same
// time, without locks. A message appears in new whole or not at all, no file is
// ever overwritten, and success means that message and directory entry are on disk.
package maildir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"quail/internal/durable"
	"quail/internal/errno"
)

// Deadline is how long one delivery may take. Readers remove what has been in tmp
// for 36 hours, so a file that is linked into new before the deadline is one that
// nobody has begun to clean up.
const Deadline = 24 * time.Hour

// What Deliver can find wrong, apart from system errors and those of the message.
var (
	ErrNoMaildir = errors.New("unable to enter maildir")
	ErrTimeout   = errors.New("timeout on maildir delivery")
)

// Namer makes the names of the files that one job delivers.
//
// The first name is TIME.PID.HOST, as from qmail. A job may deliver more often, and
// more than once a second: then names have the older form for that,
// TIME.PID_N.HOST, N counting from 2. Names of different jobs differ in PID, which
// is unique on the host, or in TIME.
type Namer struct {
	Now  func() time.Time
	PID  int
	Host string // name of this host

	n int
}

// maxHost is how much of the host's name goes into a file's name.
const maxHost = 64

// next returns a name that this Namer has not returned before.
//
// Differs from qmail: / and : in the name of the host are written \057 and \072,
// since one ends a directory's name and the other begins the reader's flags; and
// deliveries of one process are told apart by N, where qmail forks for each.
func (n *Namer) next() string {
	host := n.Host[:min(len(n.Host), maxHost)]
	if strings.ContainsAny(host, "/:") {
		host = strings.NewReplacer("/", `\057`, ":", `\072`).Replace(host)
	}
	pid := strconv.Itoa(n.PID)
	if n.n++; n.n > 1 {
		pid += "_" + strconv.Itoa(n.n)
	}
	return strconv.FormatInt(n.Now().Unix(), 10) + "." + pid + "." + host
}

// Deliver puts message into the Maildir dir as a new file. It creates no
// directory. After an error nothing of it is left there, and an error from reading
// message can be told by errors.As. Deliveries that go on at the same time may share
// syncs.
//
// Differs from qmail: the directory new must be readable by the recipient, since it
// is opened to be synced before success.
func Deliver(dir string, names *Namer, syncs *durable.Group, message io.Reader) error {
	start := names.Now()
	expired := func() bool { return names.Now().Sub(start) >= Deadline }
	f, name, err := create(dir, names)
	if err != nil {
		return missing(dir, err)
	}
	tmp, fresh := dir+"/tmp/"+name, dir+"/new/"+name
	defer os.Remove(tmp) // after success and failure alike
	// The message is on disk before it has its name, so that after a power cut no
	// reader finds one that is cut short.
	if err := fill(f, syncs, message, expired); err != nil {
		return err
	}
	// link, unlike rename, never replaces a message.
	if err := os.Link(tmp, fresh); err != nil {
		return err
	}
	if err := syncs.Sync(nil, dir+"/new"); err != nil {
		os.Remove(fresh) // or the next attempt makes a second copy
		return fmt.Errorf("sync %s/new: %w", dir, err)
	}
	return nil
}

// missing returns why no file could be made in dir/tmp: err, unless dir itself cannot
// be entered, which the sender's postmaster may want to know.
func missing(dir string, err error) error {
	if cause := Enter(dir); cause != nil {
		return cause
	}
	return err
}

// Enter returns ErrNoMaildir with its cause if dir is no directory that may be
// entered.
func Enter(dir string) error {
	// "/." asks for what chdir does: a directory, and permission to search it.
	if _, cause := os.Stat(dir + "/."); cause != nil && !errno.Temporary(cause) {
		return fmt.Errorf("%w: %w", ErrNoMaildir, cause)
	}
	return nil
}

// create makes a file with a name that is not taken. A taken one means that a
// process with the same number delivered in this very second, or that the clock
// was set back; the next name is as good.
func create(dir string, names *Namer) (f *os.File, name string, err error) {
	for range 3 {
		name = names.next()
		f, err = durable.OpenFile(dir+"/tmp/"+name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return f, name, err
}

// bufferSize is what most messages fit into as a whole.
const bufferSize = 1 << 14

// buffers are those of a user who gets many messages.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// fill copies the message into f, brings it to disk and closes f.
func fill(f *os.File, syncs *durable.Group, message io.Reader, expired func() bool) error {
	defer f.Close()
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	for {
		n, rerr := io.ReadFull(message, buf[:])
		if _, err := f.Write(buf[:n]); err != nil {
			return err
		}
		if expired() {
			return ErrTimeout
		}
		if rerr == io.EOF || rerr == io.ErrUnexpectedEOF {
			break
		}
		if rerr != nil {
			return fmt.Errorf("read message: %w", rerr)
		}
	}
	if err := syncs.Sync([]*os.File{f}); err != nil {
		return err
	}
	if err := f.Close(); err != nil { // network file systems may tell only here
		return err
	}
	if expired() {
		return ErrTimeout
	}
	return nil
}
