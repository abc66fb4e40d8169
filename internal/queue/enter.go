package queue

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"quail/internal/envelope"
)

// Submission is what qmail-queue is given: a message, its envelope in the form of
// package envelope, and who hands it in.
type Submission struct {
	PID, UID int       // number of the job, real uid of the caller
	Start    time.Time // when the job began
	Received string    // the trace line that goes on top
	Message  io.Reader
	Envelope io.Reader
}

// StatusError is the exit status that qmail-queue owes its caller, and why.
type StatusError struct {
	Status int
	Err    error
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %v", e.Status, e.Err) }
func (e *StatusError) Unwrap() error { return e.Err }

// attempts is how many names qmail-queue tries where one is taken already.
const attempts = 9

// Enter puts a message into the queue: S1, S2, S3, S4. When it returns nil the
// message is on disk under all its names. Every other error is a *StatusError. A
// message that could not be read or written whole (54, 53) leaves nothing behind;
// any other failure leaves what there is to the 36-hour clean-up, because it might
// be another process's.
func (d Dir) Enter(s Submission) (ID, error) {
	id, mess, err := d.newMess(s)
	if err != nil {
		return 0, err
	}
	defer mess.Close()
	intd, err := d.fill(id, mess, s)
	if intd != nil {
		defer intd.Close()
	}
	if err != nil {
		var status *StatusError
		if errors.As(err, &status) && (status.Status == envelope.StatusRead || status.Status == envelope.StatusWrite) {
			d.abandon(id, mess, intd)
		}
		return 0, err
	}
	if err := os.Link(d.Path(id.Intd()), d.Path(id.Todo())); err != nil {
		return 0, &StatusError{envelope.StatusTodo, err}
	}
	// From here on the message may be delivered: nothing is undone any more, also
	// if we cannot promise the caller that it will survive a power cut.
	if err := d.syncDir(id.Todo()); err != nil {
		return 0, &StatusError{envelope.StatusTodo, err}
	}
	d.PullTrigger()
	return id, nil
}

// newMess makes an empty mess file whose name is its inode number. It is born in
// pid/ under a name of its own, since its number is not known before.
//
// Differs from qmail: a number that is taken (a queue restored from a copy has
// names that are not inode numbers) is passed over instead of failing.
func (d Dir) newMess(s Submission) (ID, *os.File, error) {
	for range attempts {
		f, born, err := d.newPid(s)
		if err != nil {
			return 0, nil, err
		}
		var st syscall.Stat_t
		if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
			f.Close()
			return 0, nil, &StatusError{envelope.StatusPid, err}
		}
		id := ID(st.Ino)
		err = os.Link(d.Path(born), d.Path(id.Mess()))
		if errors.Is(err, os.ErrExist) {
			// While f stays open and linked its inode cannot be given to the next try.
			defer os.Remove(d.Path(born))
			defer f.Close()
			continue
		}
		if err != nil {
			f.Close()
			return 0, nil, &StatusError{envelope.StatusMess, err}
		}
		if err := os.Remove(d.Path(born)); err != nil {
			f.Close()
			return 0, nil, &StatusError{envelope.StatusPid, err}
		}
		return id, f, nil
	}
	return 0, nil, &StatusError{envelope.StatusMess, errors.New("every message number tried is taken: is this a restored queue?")}
}

// newPid makes pid/PID.TIME.SEQ with the first SEQ that is free.
func (d Dir) newPid(s Submission) (*os.File, Name, error) {
	var last error
	for seq := 1; seq <= 2*attempts; seq++ {
		n := Name(fmt.Sprintf("pid/%d.%d.%d", s.PID, s.Start.Unix(), seq))
		f, err := os.OpenFile(d.Path(n), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err == nil {
			return f, n, nil
		}
		last = err
	}
	return nil, "", &StatusError{envelope.StatusPid, last}
}

// fill writes message and envelope and makes both durable. The intd file is
// returned as soon as it exists.
func (d Dir) fill(id ID, mess *os.File, s Submission) (intd *os.File, err error) {
	if _, err := mess.WriteString(s.Received); err != nil {
		return nil, &StatusError{envelope.StatusWrite, err}
	}
	if err := copyMessage(mess, s.Message); err != nil {
		return nil, err
	}
	intd, err = os.OpenFile(d.Path(id.Intd()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, &StatusError{envelope.StatusIntd, err}
	}
	w := bufio.NewWriter(intd)
	w.WriteString(envelope.Header(s.UID, s.PID))
	if err := envelope.Transfer(w, bufio.NewReader(s.Envelope)); err != nil {
		return intd, &StatusError{transferStatus(err), err}
	}
	if err := w.Flush(); err != nil {
		return intd, &StatusError{envelope.StatusWrite, err}
	}
	for _, f := range []*os.File{mess, intd} {
		if err := f.Sync(); err != nil {
			return intd, &StatusError{envelope.StatusWrite, err}
		}
	}
	// mess must not be missing when todo names the message.
	if err := d.syncDir(id.Mess()); err != nil {
		return intd, &StatusError{envelope.StatusMess, err}
	}
	return intd, nil
}

// copyMessage copies the message and tells apart who failed, the caller or the
// disk.
func copyMessage(mess *os.File, message io.Reader) error {
	buf := make([]byte, 32768)
	for {
		n, err := message.Read(buf)
		if n > 0 {
			if _, err := mess.Write(buf[:n]); err != nil {
				return &StatusError{envelope.StatusWrite, err}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &StatusError{envelope.StatusRead, err}
		}
	}
}

func transferStatus(err error) int {
	var write *envelope.WriteError
	switch {
	case errors.As(err, &write):
		return envelope.StatusWrite
	case errors.Is(err, envelope.ErrTooLong):
		return envelope.StatusTooLong
	case errors.Is(err, envelope.ErrFormat):
		return envelope.StatusFormat
	}
	return envelope.StatusRead
}

// abandon removes what Enter has made: intd before mess, so that no crash leaves
// an envelope without its message. Truncating first gives the space back even if
// somebody still holds the file.
func (d Dir) abandon(id ID, mess, intd *os.File) {
	if intd != nil {
		intd.Truncate(0)
		if os.Remove(d.Path(id.Intd())) != nil {
			return
		}
	}
	mess.Truncate(0)
	os.Remove(d.Path(id.Mess()))
}
