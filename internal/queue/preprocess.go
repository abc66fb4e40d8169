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

// Preprocess writes info, local and remote of a message from its todo file, all
// durable when it returns; removing todo, which commits S5, is qmail-clean's and
// so the caller's business. route says where a recipient goes and under which
// address; info is called once, as soon as the sender is written. It returns
// which channels have recipients.
//
// What an earlier, interrupted call left is removed first.
func (d Dir) Preprocess(id ID, info func(Todo), route func(recipient string) (Channel, string)) (used [len(Channels)]bool, err error) {
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
	p := preprocessing{d: d, id: id, todo: todo, announce: info, route: route}
	defer p.close()
	if p.info, err = d.createRecords(id.Info()); err != nil {
		return used, err
	}
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
	d        Dir
	id       ID
	todo     Todo
	announce func(Todo)
	route    func(string) (Channel, string)
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
		p.announce(p.todo)
	case 'T':
		c, address := p.route(rec.Text)
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

// finish makes the file and its name durable. A nil file has nothing to finish.
func (w *recordFile) finish() error {
	if w == nil {
		return nil
	}
	if err := w.w.Flush(); err != nil {
		return &Error{"trouble writing to", w.n, err}
	}
	if err := w.f.Sync(); err != nil {
		return &Error{"trouble fsyncing", w.n, err}
	}
	return w.d.syncDir(w.n)
}
