package queue

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/durable"
	"quail/internal/envelope"
)

// Todo is what a queued message's envelope says, as far as it has been read.
type Todo struct {
	PID, UID int
	Sender   string
	Size     int64 // of mess, in bytes
}

// errUnknownType is a record that has no business in its file.
var errUnknownType = errors.New("unknown record type")

// Preprocessor is what its caller has to say to a message being preprocessed.
type Preprocessor struct {
	// Route says where a recipient goes and under which address.
	Route func(recipient string) (Channel, string)
	// Syncs is shared by all messages that are preprocessed at once; nil shares nothing.
	Syncs *durable.Group
	// Birth is what the age of the message counts from, if that was before now.
	Birth time.Time
}

// Preprocessed is what Preprocess has done, also where it failed.
type Preprocessed struct {
	Begun   bool                // the message was found and its info file made
	Senders []Todo              // what was known at each sender record, of which there is one
	Used    [len(Channels)]bool // which channels have recipients
}

// Preprocess writes info, local and remote of a message from its todo file, all
// durable when it returns; removing todo, which commits S5, is qmail-clean's and
// so the caller's business.
//
// What an earlier, interrupted call left is removed first.
//
// Differs from qmail: a record that has lost its end, as in a damaged queue, is
// trouble, here and in a Pass. The message stays; qmail drops that recipient.
func (d Dir) Preprocess(id ID, by Preprocessor) (done Preprocessed, err error) {
	f, err := os.Open(d.Path(id.Todo()))
	if err != nil {
		return done, &Error{"unable to open", id.Todo(), err}
	}
	defer f.Close()
	var todo Todo
	st, err := os.Stat(d.Path(id.Mess()))
	if err != nil {
		return done, &Error{"unable to stat", id.Mess(), err}
	}
	todo.Size = st.Size()
	for _, n := range []Name{id.Recipients(Local), id.Recipients(Remote), id.Info()} {
		if err := d.Remove(n); err != nil {
			return done, err
		}
	}
	p := preprocessing{Preprocessor: by, Preprocessed: &done, d: d, id: id, todo: todo}
	defer p.close()
	if p.info, err = d.createRecords(id.Info()); err != nil {
		return done, err
	}
	done.Begun = true
	if err := p.copyRecords(bufio.NewReader(f)); err != nil {
		return done, err
	}
	for c := range Channels {
		done.Used[c] = p.channels[c] != nil
	}
	return done, p.finish()
}

// maxSingle is more than the envelope of one recipient can have.
const maxSingle = 4096

// Single returns the envelope and the recipient of a queued message that may be
// delivered before it is preprocessed: it has just one recipient, and there is no info
// that an interrupted Preprocess has left, which the removal of todo would make valid.
// (Without info, local and remote mean nothing.) Preprocess is for all others, also to
// find out what is wrong with them.
func (d Dir) Single(id ID) (todo Todo, recipient string, ok bool) {
	records, err := d.readStart(id.Todo(), maxSingle)
	if err != nil || len(records) == maxSingle {
		return todo, "", false
	}
	if todo, recipient, ok = single(records); !ok {
		return todo, "", false
	}
	var st unix.Stat_t
	if unix.Stat(d.Path(id.Mess()), &st) != nil {
		return todo, "", false
	}
	todo.Size = st.Size
	if unix.Lstat(d.Path(id.Info()), &st) != unix.ENOENT {
		return todo, "", false
	}
	return todo, recipient, true
}

// single reads the records of a todo file with one recipient.
func single(records []byte) (todo Todo, recipient string, ok bool) {
	senders, recipients := 0, 0
	for len(records) > 0 {
		text, rest, whole := bytes.Cut(records, []byte{0})
		if !whole || len(text) == 0 {
			return todo, "", false
		}
		rec := envelope.Record{Type: text[0], Text: string(text[1:])}
		records = rest
		switch rec.Type {
		case 'u':
			todo.UID = rec.Number()
		case 'p':
			todo.PID = rec.Number()
		case 'F':
			todo.Sender = rec.Text
			senders++
		case 'T':
			recipient = rec.Text
			recipients++
		default:
			return todo, "", false
		}
		if recipients > senders { // the sender comes first
			return todo, "", false
		}
	}
	return todo, recipient, senders == 1 && recipients == 1
}

// readStart reads the first bytes of a file, all there are or limit.
func (d Dir) readStart(n Name, limit int) ([]byte, error) {
	fd, err := unix.Open(d.Path(n), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, limit)
	got, err := unix.Read(fd, buf)
	return buf[:max(got, 0)], err
}

// preprocessing is one call of Preprocess under way.
type preprocessing struct {
	Preprocessor
	*Preprocessed
	d        Dir
	id       ID
	todo     Todo
	info     *recordFile
	channels [len(Channels)]*recordFile
}

func (p *preprocessing) copyRecords(r *bufio.Reader) error {
	for {
		rec, err := envelope.ReadRecord(r)
		if err == io.EOF {
			return nil
		}
		if errors.Is(err, envelope.ErrFormat) {
			return &Error{"unknown record type in", p.id.Todo(), errUnknownType}
		}
		if err != nil {
			return &Error{"trouble reading", p.id.Todo(), err}
		}
		if err := p.copyRecord(rec); err != nil {
			return err
		}
	}
}

func (p *preprocessing) copyRecord(rec envelope.Record) error {
	switch rec.Type {
	case 'u':
		p.todo.UID = rec.Number()
	case 'p':
		p.todo.PID = rec.Number()
	case 'F':
		p.todo.Sender = rec.Text
		if err := p.info.write(rec); err != nil {
			return err
		}
		p.Senders = append(p.Senders, p.todo)
	case 'T':
		c, address := p.Route(rec.Text)
		if p.channels[c] == nil {
			w, err := p.d.createRecords(p.id.Recipients(c))
			if err != nil {
				return err
			}
			p.channels[c] = w
		}
		return p.channels[c].write(envelope.Record{Type: 'T', Text: address})
	default:
		return &Error{"unknown record type in", p.id.Todo(), errUnknownType}
	}
	return nil
}

// finish makes the files and their names durable.
func (p *preprocessing) finish() error {
	if err := p.info.flush(); err != nil {
		return err
	}
	// What is synced next has to have the time that counts already.
	if !p.Birth.IsZero() {
		if err := os.Chtimes(p.d.Path(p.info.n), p.Birth, p.Birth); err != nil {
			return &Error{"unable to utime", p.info.n, err}
		}
	}
	var files []*os.File
	var dirs []string
	for _, w := range append([]*recordFile{p.info}, p.channels[:]...) {
		if w == nil {
			continue
		}
		if err := w.flush(); err != nil {
			return err
		}
		files = append(files, w.f)
		dirs = append(dirs, filepath.Dir(w.f.Name()))
	}
	if err := p.Syncs.Sync(files, dirs...); err != nil {
		return &Error{"trouble fsyncing", p.info.n, err}
	}
	return nil
}

func (p *preprocessing) close() {
	for _, w := range append([]*recordFile{p.info}, p.channels[:]...) {
		if w != nil {
			w.f.Close()
		}
	}
}

// recordFile is a file of records being written.
type recordFile struct {
	n Name
	f *os.File
	w *bufio.Writer
}

func (d Dir) createRecords(n Name) (*recordFile, error) {
	f, err := os.OpenFile(d.Path(n), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, &Error{"unable to create", n, err}
	}
	return &recordFile{n, f, bufio.NewWriter(f)}, nil
}

func (w *recordFile) write(rec envelope.Record) error {
	if _, err := w.w.WriteString(rec.String()); err != nil {
		return &Error{"trouble writing to", w.n, err}
	}
	return nil
}

func (w *recordFile) flush() error {
	if err := w.w.Flush(); err != nil {
		return &Error{"trouble writing to", w.n, err}
	}
	return nil
}
