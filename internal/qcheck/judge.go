package qcheck

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"quail/internal/conf"
	"quail/internal/envelope"
	"quail/internal/layout"
	"quail/internal/queue"
)

// kind is a way in which a queue can be wrong.
type kind string

// The kinds, which --json prints.
const (
	kindCopy     kind = "copy"     // no message has the number of its inode
	kindSplit    kind = "split"    // subdirectories where no program looks
	kindTree     kind = "tree"     // a directory, the FIFO, a lock or tcpto
	kindName     kind = "name"     // a message's number is not that of its inode
	kindPlace    kind = "place"    // a file is in the wrong subdirectory
	kindStrange  kind = "strange"  // a name that no file of a message has
	kindType     kind = "type"     // not a regular file
	kindOwner    kind = "owner"    // or mode
	kindOrphan   kind = "orphan"   // part of a message that is not there
	kindDebris   kind = "debris"   // a message that nobody will deliver
	kindRecords  kind = "records"  // an envelope that is not in form
	kindUnfinish kind = "unfinish" // a repair was interrupted
)

// aside reports whether a repair puts what is wrong into quarantine.
func (k kind) aside() bool {
	return k == kindStrange || k == kindOrphan || k == kindDebris || k == kindRecords
}

// finding is something that is wrong.
type finding struct {
	kind  kind
	name  queue.Name
	inode uint64 // of the file, 0 if there is none
	id    queue.ID
	text  string

	file *file // for the repair
	unit *unit
	item *treeItem
}

// key tells whether two looks have found the same.
type key struct {
	kind  kind
	name  queue.Name
	inode uint64
	text  string
}

func (f finding) key() key { return key{f.kind, f.name, f.inode, f.text} }

// judge says what is wrong with what has been seen.
type judge struct {
	dir      queue.Dir
	accounts *layout.Accounts
	now      time.Time
	s        *snapshot
	findings []finding
}

func (j *judge) find(k kind, f *file, u *unit, format string, args ...any) {
	j.findings = append(j.findings, finding{kind: k, name: f.name, inode: f.inode, id: f.id, text: fmt.Sprintf(format, args...), file: f, unit: u})
}

// all looks at everything.
func (j *judge) all() error {
	for _, f := range j.s.strange {
		j.find(kindStrange, f, nil, "is no name of a message's file")
	}
	for _, n := range j.s.extra {
		j.findings = append(j.findings, finding{kind: kindSplit, name: n, text: fmt.Sprintf("is a subdirectory that nobody looks into: there are %d", conf.Split)})
	}
	for id := range j.s.moving {
		j.findings = append(j.findings, finding{kind: kindUnfinish, name: movingName(id, mess), id: id, text: "was being moved when a repair was interrupted"})
	}
	messages, wrong := 0, 0
	for _, u := range j.s.units {
		if m := u.files[mess]; m != nil {
			messages++
			if m.inode != uint64(m.id) {
				wrong++
			}
		}
		if err := j.unit(u); err != nil {
			return err
		}
	}
	if messages > 1 && wrong == messages {
		j.findings = append(j.findings, finding{kind: kindCopy, name: "mess", text: "has no message with the number of its inode: this queue is a copy"})
	}
	return nil
}

// unit looks at one message.
func (j *judge) unit(u *unit) error {
	for _, f := range u.files {
		if f == nil {
			continue
		}
		if !f.mode.IsRegular() {
			j.find(kindType, f, u, "is no regular file")
			return nil
		}
		if err := j.owner(f); err != nil {
			return err
		}
	}
	m := u.files[mess]
	if m == nil {
		for _, f := range u.files {
			if f != nil {
				j.find(kindOrphan, f, u, "belongs to no message: there is no mess/%d/%d", uint64(u.id)%conf.Split, u.id)
			}
		}
		return nil
	}
	if m.inode != uint64(m.id) {
		j.find(kindName, m, u, "has the inode number %d", m.inode)
	}
	for _, f := range u.files {
		if f != nil && f.name != f.part.place(u.id) {
			j.find(kindPlace, f, u, "belongs to %s", f.part.place(u.id))
		}
	}
	if j.s.moving[queue.ID(m.inode)] != nil { // the rest is elsewhere, and says what this means
		return nil
	}
	j.state(u, m)
	return j.records(u)
}

// state looks at which parts of a message there are. See the states in package queue.
func (j *judge) state(u *unit, m *file) {
	switch t, i := u.files[todo], u.files[info]; {
	case t != nil:
		if f := u.files[intd]; f != nil && f.inode != t.inode {
			j.find(kindOrphan, f, u, "is another file than todo/%d", u.id)
		}
		if f := u.files[bounce]; f != nil {
			j.find(kindOrphan, f, u, "cannot be before its message is preprocessed")
		}
	case i != nil:
		if f := u.files[intd]; f != nil {
			j.find(kindOrphan, f, u, "cannot be after its message is preprocessed")
		}
	default:
		for _, p := range []part{local, remote, bounce} {
			if f := u.files[p]; f != nil {
				j.find(kindOrphan, f, u, "has no info/%d/%d", uint64(u.id)%conf.Split, u.id)
			}
		}
		if j.now.Unix() > m.accessed+int64(queue.Ossified/time.Second) {
			j.find(kindDebris, m, u, "is neither in todo nor in info, and older than %v hours", queue.Ossified.Hours())
		}
	}
}

// owner looks at whose a file is, and who may do what with it.
func (j *judge) owner(f *file) error {
	uid, mode, err := j.expected(f.part)
	if err != nil {
		return err
	}
	switch got := f.mode & layout.ModeBits; {
	case f.uid != uid:
		j.find(kindOwner, f, nil, "has the owner %d, not %d", f.uid, uid)
	case got != mode:
		j.find(kindOwner, f, nil, "has the mode %s, not %s", layout.Octal(got), layout.Octal(mode))
	}
	return nil
}

func (j *judge) expected(p part) (uid int, mode fs.FileMode, err error) {
	item := layout.Item{Owner: conf.UserSend, Group: conf.GroupQmail, Mode: 0o600}
	if p == mess || p == todo || p == intd {
		item.Owner, item.Mode = conf.UserQueue, 0o644
	}
	uid, _, mode, err = j.accounts.Expected(item)
	return uid, mode, err
}

// records looks into the envelope. While there is todo the others may be half written.
func (j *judge) records(u *unit) error {
	check := []part{info, local, remote}
	if u.files[todo] != nil {
		check = []part{todo}
	}
	for _, p := range check {
		f := u.files[p]
		if f == nil {
			continue
		}
		r, err := os.Open(j.dir.Path(f.name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		what, err := inForm(p, bufio.NewReader(r))
		r.Close()
		if err != nil {
			return err
		}
		if what != "" {
			j.find(kindRecords, f, u, "%s", what)
		}
	}
	return nil
}

// letters are the records that a part may have.
var letters = [parts]string{todo: "upFT", info: "F", local: "TD", remote: "TD"}

// inForm reads the records of a part, and says what is wrong with them.
func inForm(p part, r *bufio.Reader) (what string, err error) {
	senders := 0
	for n := 0; ; n++ {
		rec, err := envelope.ReadRecord(r)
		switch {
		case err == io.EOF && n == 0:
			return "is empty", nil
		case err == io.EOF && (p == todo || p == info) && senders != 1:
			return fmt.Sprintf("has %d senders", senders), nil
		case err == io.EOF:
			return "", nil
		case err == io.ErrUnexpectedEOF:
			return fmt.Sprintf("has lost the end of record %d", n+1), nil
		case errors.Is(err, envelope.ErrFormat):
			return fmt.Sprintf("has an empty record %d", n+1), nil
		case err != nil:
			return "", err
		}
		known := false
		for i := range len(letters[p]) {
			known = known || letters[p][i] == rec.Type
		}
		if !known || p == todo && rec.Type == 'T' && senders == 0 {
			return fmt.Sprintf("has a record %d of the wrong type %q", n+1, rec.Type), nil
		}
		if rec.Type == 'F' {
			senders++
		}
	}
}
