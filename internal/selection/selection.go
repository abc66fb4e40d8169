// Package selection finds the messages of a queue that an order means, in todo and
// preprocessed ones. It reads a queue at work, or one that rests, and changes nothing.
//
// What it finds may be gone, or be another message, when somebody acts on it: Same
// tells, as long as whoever asks is the one who could remove it.
//
// Bytes in the files come from any local user. They are compared and copied.
package selection

import (
	"bufio"
	"errors"
	"io"
	"os"
	"time"

	"quail/internal/envelope"
	"quail/internal/order"
	"quail/internal/queue"
)

// Found is a message that an order means.
type Found struct {
	order.Message      // Due is what the files say
	Todo          bool // it had not been preprocessed
	named         os.FileInfo
}

// ID returns the number of the message.
func (f *Found) ID() queue.ID { return queue.ID(f.Message.ID) }

// Same reports whether the message is still there and in the same state: the file that
// makes it one, todo or info, is the same.
func (f *Found) Same(dir queue.Dir) bool {
	name := f.ID().Info()
	if f.Todo {
		name = f.ID().Todo()
	}
	now, err := os.Lstat(dir.Path(name))
	return err == nil && os.SameFile(now, f.named) && now.ModTime().Equal(f.named.ModTime())
}

// LeftTodo takes note of the fact that the message has been preprocessed.
func (f *Found) LeftTodo(dir queue.Dir) (err error) {
	if f.named, err = os.Lstat(dir.Path(f.ID().Info())); err != nil {
		return err
	}
	f.Todo, f.Birth = false, f.named.ModTime().Unix()
	return nil
}

// Each calls found with every message that the order means, by number if it names
// numbers, until that returns false. A message that cannot be read comes with an
// error. Of numbers that are not there nothing is said: see Missing.
func Each(dir queue.Dir, o order.Order, now time.Time, found func(Found, error) bool) error {
	e := each{dir: dir, o: o, now: now.Unix(), found: found, seen: map[queue.ID]bool{}}
	for _, id := range o.IDs {
		if !e.one(queue.ID(id)) {
			return nil
		}
	}
	if len(o.IDs) > 0 {
		return nil
	}
	// A message that is preprocessed meanwhile is met in todo, in info, or in both.
	for _, subdir := range append([]queue.Name{"todo"}, queue.Splits("info")...) {
		more, err := e.walk(subdir)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// Missing returns those of numbers that there is no message of.
func Missing(dir queue.Dir, ids []uint64) (missing []uint64) {
	for _, id := range ids {
		todo, err := dir.Exists(queue.ID(id).Todo())
		info, err2 := dir.Exists(queue.ID(id).Info())
		if !todo && !info && err == nil && err2 == nil {
			missing = append(missing, id)
		}
	}
	return missing
}

// One looks at a message again, as Each would.
func One(dir queue.Dir, o order.Order, id queue.ID, now time.Time) (f Found, ok bool, err error) {
	e := each{dir: dir, o: o, now: now.Unix(), seen: map[queue.ID]bool{}}
	e.found = func(found Found, trouble error) bool {
		f, err, ok = found, trouble, true
		return false
	}
	e.one(id)
	return f, ok, err
}

type each struct {
	dir   queue.Dir
	o     order.Order
	now   int64
	found func(Found, error) bool
	seen  map[queue.ID]bool // in todo, or by number
}

func (e *each) walk(subdir queue.Name) (more bool, err error) {
	scan, err := e.dir.OpenScan(subdir)
	if err != nil {
		return false, err
	}
	defer scan.Close()
	for {
		id, err := scan.Next()
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if !e.one(id) {
			return false, nil
		}
	}
}

// one looks at one message, once.
func (e *each) one(id queue.ID) (more bool) {
	if e.seen[id] {
		return true
	}
	for range 2 { // it may leave todo between two looks
		f, ok, err := e.look(id)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if f.Todo || len(e.o.IDs) > 0 {
			e.seen[id] = true
		}
		if err == nil && !ok {
			return true
		}
		f.Message.ID = uint64(id)
		return e.found(f, err)
	}
	return true
}

// look reads what there is of a message; ok says that the order means it.
func (e *each) look(id queue.ID) (f Found, ok bool, err error) {
	f.Message.ID = uint64(id)
	if f.named, err = os.Lstat(e.dir.Path(id.Todo())); err == nil {
		f.State, f.Todo = order.StateTodo, true
		ok, err = e.envelope(&f)
	} else if errors.Is(err, os.ErrNotExist) {
		ok, err = e.preprocessed(&f)
	}
	if err != nil || !ok {
		return f, false, err
	}
	mess, err := os.Stat(e.dir.Path(id.Mess()))
	if err != nil {
		return f, false, err
	}
	f.Size = mess.Size()
	return f, true, nil
}

// envelope reads the todo file.
func (e *each) envelope(f *Found) (ok bool, err error) {
	f.Birth = f.named.ModTime().Unix()
	file, err := os.Open(e.dir.Path(f.ID().Todo()))
	if err != nil {
		return false, err
	}
	defer file.Close()
	r := bufio.NewReader(file)
	wanted := e.o.Recipient == nil
	for {
		rec, err := envelope.ReadRecord(r)
		if err == io.EOF {
			return wanted && e.o.WantsAge(f.Birth, e.now) && e.o.WantsSender(f.Sender), nil
		}
		if err != nil {
			return false, &queue.Error{Doing: "trouble reading", Name: f.ID().Todo(), Err: err}
		}
		switch rec.Type {
		case 'F':
			f.Sender = rec.Text
		case 'T':
			wanted = e.recipient(f, order.Recipient{Address: rec.Text}) || wanted
		}
	}
}

// preprocessed reads info, local and remote.
func (e *each) preprocessed(f *Found) (ok bool, err error) {
	id := f.ID()
	if f.named, err = os.Lstat(e.dir.Path(id.Info())); err != nil {
		return false, err
	}
	info, err := e.dir.ReadInfo(id)
	if err != nil {
		return false, err
	}
	f.Sender, f.Birth = info.Sender, info.Birth.Unix()
	if !e.o.WantsAge(f.Birth, e.now) || !e.o.WantsSender(f.Sender) {
		return false, nil
	}
	if f.Bouncing, err = e.dir.Exists(id.Bounce()); err != nil {
		return false, err
	}
	wanted := e.o.Recipient == nil
	f.State = order.StateEnding
	for _, c := range queue.Channels {
		due, exists, err := e.dir.NextAttempt(id, c)
		if err != nil {
			return false, err
		}
		if !exists {
			continue
		}
		f.Due[c] = max(1, due.Unix())
		found, err := e.channel(f, c)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // it may just have been done
			return false, err
		}
		wanted = wanted || found
	}
	f.State = StateOf(f.Due)
	return wanted, nil
}

// channel reads the recipients of one channel.
func (e *each) channel(f *Found, c queue.Channel) (wanted bool, err error) {
	pass, err := e.dir.OpenPass(f.ID(), c)
	if err != nil {
		return false, err
	}
	defer pass.Close()
	for {
		r, err := pass.Next()
		if err == io.EOF {
			return wanted, nil
		}
		if err != nil {
			return false, &queue.Error{Doing: "trouble reading", Name: f.ID().Recipients(c), Err: err}
		}
		wanted = e.recipient(f, order.Recipient{Channel: c.String(), Address: r.Address, Done: r.Done}) || wanted
	}
}

// recipient takes one up, and reports whether the order asks for it.
func (e *each) recipient(f *Found, r order.Recipient) (wanted bool) {
	if e.o.Verb == order.Show && len(f.Recipients) < order.MaxShown {
		f.Recipients = append(f.Recipients, r)
	}
	if r.Done {
		f.Done++
		return false
	}
	f.Left++
	return e.o.WantsRecipient(r.Address)
}

// StateOf is what times of next attempts say of a message that is not in hand.
func StateOf(due [len(queue.Channels)]int64) string {
	state := order.StateEnding
	for _, at := range due {
		switch {
		case at == 0:
		case !queue.IsHeld(at):
			return order.StateWaiting
		default:
			state = order.StateHeld
		}
	}
	return state
}
