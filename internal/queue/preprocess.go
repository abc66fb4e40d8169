package queue

import (
	"bufio"
	"errors"
	"io"
	"os"

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
	// Begun is called when the message is known to be there and its info file made.
	Begun func()
	// Info is called for each sender record, of which there is one, when it is written.
	Info func(Todo)
	// Route says where a recipient goes and under which address.
	Route func(recipient string) (Channel, string)
}

// Preprocess writes info, local and remote of a message from its todo file, all
// durable when it returns; removing todo, which commits S5, is qmail-clean's and
// so the caller's business. It returns which channels have recipients.
//
// What an earlier, interrupted call left is removed first.
//
// Differs from qmail: a record that has lost its end, as in a damaged queue, is
// trouble, here and in a Pass. The message stays; qmail drops that recipient.
func (d Dir) Preprocess(id ID, by Preprocessor) (used [len(Channels)]bool, err error) {
	f, err := os.Open(d.Path(id.Todo()))
	if err != nil {
		return used, &Error{"unable to open", id.Todo(), err}
	}
	defer f.Close()
	var todo Todo
	st, err := os.Stat(d.Path(id.Mess()))
	if err != nil {
		return used, &Error{"unable to stat", id.Mess(), err}
	}
	todo.Size = st.Size()
	for _, n := range []Name{id.Recipients(Local), id.Recipients(Remote), id.Info()} {
		if err := d.Remove(n); err != nil {
			return used, err
		}
	}
	p := preprocessing{Preprocessor: by, d: d, id: id, todo: todo}
	defer p.close()
	if p.info, err = d.createRecords(id.Info()); err != nil {
		return used, err
	}
	by.Begun()
	if err := p.copyRecords(bufio.NewReader(f)); err != nil {
		return used, err
	}
	for _, w := range append([]*recordFile{p.info}, p.channels[:]...) {
		if err := w.finish(); err != nil {
			return used, err
		}
	}
	for _, c := range Channels {
		used[c] = p.channels[c] != nil
	}
	return used, nil
}

// preprocessing is one call of Preprocess under way.
type preprocessing struct {
	Preprocessor
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
		if err := p.info.flush(); err != nil {
			return err
		}
		p.Info(p.todo)
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

func (p *preprocessing) close() {
	for _, w := range append([]*recordFile{p.info}, p.channels[:]...) {
		if w != nil {
			w.f.Close()
		}
	}
}

// recordFile is a file of records being written.
type recordFile struct {
	d Dir
	n Name
	f *os.File
	w *bufio.Writer
}

func (d Dir) createRecords(n Name) (*recordFile, error) {
	f, err := os.OpenFile(d.Path(n), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, &Error{"unable to create", n, err}
	}
	return &recordFile{d, n, f, bufio.NewWriter(f)}, nil
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

// finish makes the file and its name durable. A nil file has nothing to finish.
func (w *recordFile) finish() error {
	if w == nil {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return &Error{"trouble fsyncing", w.n, err}
	}
	return w.d.syncDir(w.n)
}
