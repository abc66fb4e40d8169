package queue

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"quail/internal/durable"
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

	// What a resident program has and a process for one message does without:

	Syncs  *durable.Group   // shares syncs with other messages
	Buffer []byte           // is used for copying
	Now    func() time.Time // tells when Death is over, where no alarm does
}

// bufferSize is what copying takes where no Buffer is given.
const bufferSize = 32768

// StatusError is the exit status that qmail-queue owes its caller, and why.
type StatusError struct {
	Status int
	Err    error
}

func (e *StatusError) Error() string {
	return "status " + strconv.Itoa(e.Status) + ": " + e.Err.Error()
}
func (e *StatusError) Unwrap() error { return e.Err }

// attempts is how many names qmail-queue tries where one is taken already.
const attempts = 9

// Enter puts a message into the queue: S1, S2, S3, S4. When it returns nil the
// message is on disk under all its names. Every other error is a *StatusError. A
// message that could not be read or written whole (54, 53) leaves nothing behind;
// any other failure leaves what there is to the 36-hour clean-up, because it might
// be another process's. A Message or Envelope may return a *StatusError itself.
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
	// Whoever has taken longer than Death must not go on: the message may be cleaned
	// up already.
	if s.Now != nil && s.Now().Sub(s.Start) >= Death {
		return 0, &StatusError{envelope.StatusTimeout, os.ErrDeadlineExceeded}
	}
	if err := os.Link(d.Path(id.Intd()), d.Path(id.Todo())); err != nil {
		return 0, &StatusError{envelope.StatusTodo, err}
	}
	// From here on the message may be delivered: nothing is undone any more, also
	// if we cannot promise the caller that it will survive a power cut.
	if err := s.Syncs.Sync(nil, d.dir(id.Todo())); err != nil {
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
	stem := "pid/" + strconv.Itoa(s.PID) + "." + strconv.FormatInt(s.Start.Unix(), 10) + "."
	for seq := 1; seq <= 2*attempts; seq++ {
		n := Name(stem + strconv.Itoa(seq))
		f, err := durable.OpenFile(d.Path(n), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
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
	if s.Buffer == nil {
		s.Buffer = make([]byte, bufferSize)
	}
	if err := copyMessage(&gathered{f: mess, b: s.Buffer[:0]}, s); err != nil {
		return nil, err
	}
	intd, err = durable.OpenFile(d.Path(id.Intd()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, &StatusError{envelope.StatusIntd, err}
	}
	w := &gathered{f: intd, b: s.Buffer[:0]}
	w.Write([]byte(envelope.Header(s.UID, s.PID)))
	if err := envelope.Transfer(w, bufio.NewReader(s.Envelope)); err != nil {
		return intd, transferError(err)
	}
	if err := w.flush(); err != nil {
		return intd, &StatusError{envelope.StatusWrite, err}
	}
	// mess must not be missing when todo names the message.
	err = s.Syncs.Sync([]*os.File{mess, intd}, d.dir(id.Mess()))
	if err != nil {
		return intd, &StatusError{envelope.StatusWrite, err}
	}
	return intd, nil
}

// dir returns the directory that names a file.
func (d Dir) dir(n Name) string { return d.Path(Name(filepath.Dir(string(n)))) }

// gathered is a file to which small pieces are written together.
type gathered struct {
	f *os.File
	b []byte // what has not been written yet
}

// Write adds p to the file.
func (g *gathered) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := copy(g.b[len(g.b):cap(g.b)], p)
		g.b, p = g.b[:len(g.b)+k], p[k:]
		if len(g.b) == cap(g.b) {
			if err := g.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// readFrom adds what one Read of r gives.
func (g *gathered) readFrom(r io.Reader) (rerr, werr error) {
	n, rerr := r.Read(g.b[len(g.b):cap(g.b)])
	g.b = g.b[:len(g.b)+n]
	if len(g.b) == cap(g.b) {
		werr = g.flush()
	}
	return rerr, werr
}

func (g *gathered) flush() error {
	if len(g.b) == 0 {
		return nil
	}
	_, err := g.f.Write(g.b)
	g.b = g.b[:0]
	return err
}

// copyMessage copies the trace line and the message, and tells apart who failed, the
// caller or the disk.
func copyMessage(mess *gathered, s Submission) error {
	_, werr := mess.Write([]byte(s.Received))
	var rerr error
	for rerr == nil && werr == nil {
		rerr, werr = mess.readFrom(s.Message)
	}
	if rerr == io.EOF && werr == nil {
		rerr, werr = nil, mess.flush()
	}
	switch {
	case werr != nil:
		return &StatusError{envelope.StatusWrite, werr}
	case rerr != nil:
		return transferError(rerr)
	}
	return nil
}

// transferError gives an error of reading or copying its status, unless it has one.
func transferError(err error) error {
	var status *StatusError
	if errors.As(err, &status) {
		return status
	}
	return &StatusError{TransferStatus(err), err}
}

// TransferStatus returns the status for an error of envelope.Transfer, or of reading
// the message.
func TransferStatus(err error) int {
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
