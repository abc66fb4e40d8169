package local

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/dotqmail"
	"quail/internal/maildir"
	"quail/internal/mbox"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/submit"
)

// readError marks what went wrong with the message as opposed to the mailbox.
type readError struct{ error }

func (e readError) Unwrap() error { return e.error }

// messageReader reads the message from its beginning, wherever the descriptor
// stands: all lines share it with the programs they start, some of which go on
// reading in the background.
type messageReader struct {
	file *os.File
	at   int64
}

func (m *messageReader) Read(b []byte) (int, error) {
	for {
		n, err := unix.Pread(int(m.file.Fd()), b, m.at)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, readError{&os.PathError{Op: "read", Path: m.file.Name(), Err: err}}
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		default:
			m.at += int64(n)
			return n, nil
		}
	}
}

// message rewinds the message for a program, and returns it for our own use.
func (j *job) message() (io.Reader, error) {
	if _, err := j.p.Stdin.Seek(0, io.SeekStart); err != nil {
		return nil, j.fail(prog.StatusTemporary, "Unable to rewind message. (#4.3.0)")
	}
	return &messageReader{file: j.p.Stdin}, nil
}

// checkLoop looks for our own Delivered-To line in the header. Whoever forwards mail
// in a circle gets it back here, once, instead of filling the queue.
func (j *job) checkLoop() error {
	message, err := j.message()
	if err != nil {
		return err
	}
	found, err := headerHas(message, j.to.DeliveredTo())
	switch {
	case err != nil:
		return j.temporary("Unable to read message", err, "#4.3.0")
	case found:
		return j.fail(prog.StatusPermanent, dotqmail.Looping)
	}
	return nil
}

// headers reads headers.
var headers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 1<<13) }}

// headerHas reports whether line, which ends with a newline, stands in the header
// of the message, byte for byte. Lines of the header may be of any length.
func headerHas(message io.Reader, line string) (bool, error) {
	r := headers.Get().(*bufio.Reader)
	r.Reset(message)
	defer func() { r.Reset(nil); headers.Put(r) }()
	for {
		// What is left to be found of line, while all before it was the same.
		rest, same, length := line, true, 0
		for {
			part, err := r.ReadSlice('\n')
			length += len(part)
			if same = same && len(part) <= len(rest) && rest[:len(part)] == string(part); same {
				rest = rest[len(part):]
			}
			if err == bufio.ErrBufferFull {
				continue
			}
			if err == io.EOF { // a line without its newline is no line of a header
				return false, nil
			}
			if err != nil {
				return false, err
			}
			break
		}
		if same && rest == "" {
			return true, nil
		}
		if length <= 1 {
			return false, nil
		}
	}
}

// toMbox appends the message to a file. The report says which, unlike with a
// Maildir; both are in words that log analysers know.
func (j *job) toMbox(name string) error {
	message, err := j.message()
	if err != nil {
		return err
	}
	head := j.to.FromLine(j.p.Now()) + j.to.ReturnPath() + j.to.DeliveredTo()
	err = mbox.Append(j.home.Path(name), head, message, j.p.Now)
	var unopened *mbox.OpenError
	var unread readError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unopened):
		return j.temporary("Unable to open "+name, err, "#4.2.1")
	case errors.Is(err, mbox.ErrLocked):
		return j.fail(prog.StatusTemporary, "File has been locked for 30 seconds straight. (#4.3.0)")
	case errors.As(err, &unread):
		return j.temporary("Unable to read message", err, "#4.3.0")
	default:
		return j.temporary("Unable to write "+name, err, "#4.3.0")
	}
}

// toMaildir delivers into a directory. All its failures are temporary: a Maildir
// that is missing today may only not be mounted yet.
func (j *job) toMaildir(name string) error {
	message, err := j.message()
	if err != nil {
		return err
	}
	if j.names == nil { // one for the whole job: it counts the deliveries
		host, err := os.Hostname()
		if err != nil {
			return j.fail(prog.StatusTemporary, "Temporary error on maildir delivery. (#4.3.0)")
		}
		j.names = &maildir.Namer{Now: j.p.Now, PID: j.p.PID, Host: host}
	}
	head := strings.NewReader(j.to.ReturnPath() + j.to.DeliveredTo())
	err = maildir.Deliver(j.home.Path(name), j.names, j.syncs, io.MultiReader(head, message))
	var unread readError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, maildir.ErrNoMaildir):
		return j.fail(prog.StatusTemporary, dotqmail.NoMaildir)
	case errors.Is(err, maildir.ErrTimeout):
		return j.fail(prog.StatusTemporary, "Timeout on maildir delivery. (#4.3.0)")
	case errors.As(err, &unread):
		return j.fail(prog.StatusTemporary, "Unable to read message. (#4.3.0)")
	default:
		return j.fail(prog.StatusTemporary, "Temporary error on maildir delivery. (#4.3.0)")
	}
}

// toProgram gives the message to a shell command of the recipient's. It gets the
// descriptor itself, not a copy of the message, and prints into our own report.
func (j *job) toProgram(command string) (stop bool, err error) {
	if _, err := j.message(); err != nil {
		return false, err
	}
	status, err := proc.Command{
		Args:   []string{"/bin/sh", "-c", command},
		Env:    j.environment(),
		Dir:    j.to.Home,
		Stdin:  j.p.Stdin,
		Stdout: j.p.Stdout,
		Stderr: j.p.Stderr,
	}.Run()
	switch {
	case err != nil && isLack(err):
		return false, j.temporary("Unable to fork", err, "#4.3.0")
	case err != nil:
		return false, j.temporary("Unable to run /bin/sh", err, "#4.3.0")
	case status.Crashed():
		return false, j.fail(prog.StatusTemporary, "Aack, child crashed. (#4.3.0)")
	}
	// The program has said itself what there is to say about a failure.
	switch dotqmail.Judge(status.Code()) {
	case dotqmail.Continue:
		return false, nil
	case dotqmail.Stop:
		return true, nil
	case dotqmail.Permanent:
		return false, prog.Exit(prog.StatusPermanent)
	default:
		return false, prog.Exit(prog.StatusTemporary)
	}
}

// isLack reports whether a program could not be started for lack of something that
// every new process needs.
func isLack(err error) bool {
	for _, lack := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, lack) {
			return true
		}
	}
	return false
}

// forward sends the message to all collected addresses at once, as one new message,
// so that the queue takes it for all of them or for none.
func (j *job) forward() error {
	if len(j.forwards) == 0 {
		return nil
	}
	message, err := j.message()
	if err != nil {
		return err
	}
	caller := *j.p
	caller.Env = j.environment() // $QMAILQUEUE may be a script that looks at the variables
	m, err := submit.Open(&caller)
	if err != nil {
		return j.temporary("Unable to fork", err, "#4.3.0")
	}
	m.WriteString(j.to.DeliveredTo())
	if _, err := io.Copy(m, message); err != nil {
		m.Fail() // Close then says what is wrong
	}
	m.From(j.newSender)
	for _, address := range j.forwards {
		m.To(address)
	}
	result := m.Close()
	if result.OK() {
		j.qp = m.QP
		return nil
	}
	status := prog.StatusTemporary
	if result.Permanent() {
		status = prog.StatusPermanent
	}
	return j.fail(status, "Unable to forward message: "+result.Text()+".")
}
