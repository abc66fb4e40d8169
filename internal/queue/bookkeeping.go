package queue

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/durable"
	"quail/internal/envelope"
)

// Append adds the number as file names have it.
func (id ID) Append(b []byte) []byte { return strconv.AppendUint(b, uint64(id), 10) }

// Info is what is known of a preprocessed message.
type Info struct {
	Sender string
	Birth  time.Time // when it was preprocessed: the age of the message counts from here
}

// ReadInfo reads the info file of a message.
func (d Dir) ReadInfo(id ID) (Info, error) {
	f, err := os.Open(d.Path(id.Info()))
	if err != nil {
		return Info{}, &Error{"unable to open", id.Info(), err}
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Info{}, &Error{"unable to stat", id.Info(), err}
	}
	rec, err := envelope.ReadRecord(bufio.NewReader(f))
	if err != nil {
		return Info{}, &Error{"trouble reading", id.Info(), err}
	}
	if rec.Type != 'F' {
		return Info{}, &Error{"trouble reading", id.Info(), errUnknownType}
	}
	return Info{rec.Text, st.ModTime()}, nil
}

// Pass reads the recipients of one channel of a message, once.
type Pass struct {
	name Name
	f    *os.File
	r    *bufio.Reader
	at   int64
}

// OpenPass begins reading.
func (d Dir) OpenPass(id ID, c Channel) (*Pass, error) { return d.openPass(id, c, os.O_RDONLY) }

// ServePass is OpenPass for qmail-send, which marks the recipients whom it has served.
func (d Dir) ServePass(id ID, c Channel) (*Pass, error) { return d.openPass(id, c, os.O_RDWR) }

func (d Dir) openPass(id ID, c Channel, mode int) (*Pass, error) {
	n := id.Recipients(c)
	f, err := os.OpenFile(d.Path(n), mode, 0)
	if err != nil {
		return nil, &Error{"unable to open", n, err}
	}
	return &Pass{name: n, f: f, r: bufio.NewReaderSize(f, 1024)}, nil
}

// Recipient is a record of a recipients file. It is done or still to be served.
type Recipient struct {
	Address string
	Done    bool
	At      int64 // offset of the record in its file
}

// ErrUnknownType says that a record is neither a recipient to be served nor one
// that is done.
var ErrUnknownType = errUnknownType

// Next returns the next recipient; io.EOF ends the pass.
func (p *Pass) Next() (Recipient, error) {
	rec, err := envelope.ReadRecord(p.r)
	if errors.Is(err, envelope.ErrFormat) {
		return Recipient{}, ErrUnknownType
	}
	if err != nil {
		return Recipient{}, err
	}
	r := Recipient{Address: rec.Text, Done: rec.Type == 'D', At: p.at}
	p.at += int64(len(rec.Text)) + 2
	if rec.Type != 'T' && rec.Type != 'D' {
		return Recipient{}, ErrUnknownType
	}
	return r, nil
}

// Close ends the pass.
func (p *Pass) Close() { p.f.Close() }

// MarkDone marks the recipient at offset at as served: one byte, written in
// place. It is not synced; a crash costs a second delivery, never a lost one.
func (p *Pass) MarkDone(at int64) error {
	if _, err := p.f.WriteAt([]byte{'D'}, at); err != nil {
		return &Error{"trouble marking", p.name, err}
	}
	return nil
}

// NextAttempt returns when a channel of a message is due: the modification time
// of its recipients file. There is none if the channel has nothing left to do.
func (d Dir) NextAttempt(id ID, c Channel) (due time.Time, exists bool, err error) {
	n := id.Recipients(c)
	st, err := os.Stat(d.Path(n))
	if errors.Is(err, os.ErrNotExist) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, &Error{"unable to stat", n, err}
	}
	return st.ModTime(), true, nil
}

// SetNextAttempt stores when a channel of a message is due.
func (d Dir) SetNextAttempt(id ID, c Channel, due time.Time) error {
	n := id.Recipients(c)
	if err := os.Chtimes(d.Path(n), due, due); err != nil {
		return &Error{"unable to utime", n, err}
	}
	return nil
}

// AppendBounce adds a paragraph to the bounce file of a message. When it returns nil
// the paragraph is on disk: the recipient is marked as done next, and if a power cut
// kept the mark alone nobody would ever be told.
//
// Differs from qmail: it does not sync this file.
func (d Dir) AppendBounce(id ID, paragraph string) error {
	n := id.Bounce()
	f, err := os.OpenFile(d.Path(n), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return &Error{"unable to append to", n, err}
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return &Error{"unable to append to", n, err}
	}
	_, err = f.WriteString(paragraph)
	if err == nil {
		err = f.Sync()
	}
	if err == nil && before.Size() == 0 {
		err = durable.Dir(d.Path("bounce"))
	}
	if err != nil {
		f.Truncate(before.Size()) // the caller tries again; half a paragraph must not stay
		return &Error{"unable to append to", n, err}
	}
	return nil
}

// SweepPid removes what submissions that never got further left in pid/: every
// entry that nobody has accessed since before.
func (d Dir) SweepPid(before time.Time) {
	f, err := os.Open(d.Path("pid"))
	if err != nil {
		return
	}
	defer f.Close()
	for {
		names, _ := f.Readdirnames(256)
		if len(names) == 0 {
			return
		}
		for _, name := range names {
			n := Name("pid/" + name)
			if at, err := d.accessed(n); err == nil && !at.After(before) {
				d.Remove(n)
			}
		}
	}
}

// Accessed returns when a message's text was last read.
func (d Dir) Accessed(id ID) (time.Time, error) { return d.accessed(id.Mess()) }

func (d Dir) accessed(n Name) (time.Time, error) {
	var st unix.Stat_t
	if err := unix.Lstat(d.Path(n), &st); err != nil {
		return time.Time{}, &Error{"unable to stat", n, err}
	}
	return time.Unix(int64(st.Atim.Sec), int64(st.Atim.Nsec)), nil
}
