package spawn

import (
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/nowait"
	"quail/internal/proc"
)

// grace is how long the end of a program is waited for before anybody looks at what
// it prints. Most print less than a pipe holds, all at the end.
const grace = 20 * time.Millisecond

// Output collects what one program prints, and how it ended.
type Output struct {
	fd    int      // of the pipe, to be read without waiting
	file  *os.File // the same for waiting, once that has become necessary
	eof   bool
	ended chan End
	write *nowait.File
}

// End is how a program ended, or why that is not known.
type End struct {
	proc.Status
	Err error
}

// NewOutput returns an Output, and what is to be the program's descriptor 1.
func NewOutput() (o *Output, write *nowait.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe", err)
	}
	o = &Output{fd: fds[0], ended: make(chan End, 1), write: nowait.NewFile(fds[1])}
	// The mode of the other end is seen by programs, which expect to wait.
	if _, err := nowait.Fcntl(o.fd, unix.F_SETFL, unix.O_NONBLOCK); err != nil {
		o.write.Close()
		o.Close()
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return o, o.write, nil
}

// Done takes the end of the program, see warm.Done. Until then the program may be
// started once more, so its end of the pipe stays open here.
func (o *Output) Done(status proc.Status, err error) {
	o.ended <- End{status, err}
	o.write.Close()
}

// Release lets go of the program's end before that: if nothing was started, or a
// program that is a process of its own.
func (o *Output) Release() { o.write.Close() }

// Collect returns what keep wants of the output, and the end of the program. It
// returns when nobody holds the other end of the pipe any more.
func (o *Output) Collect(keep func(io.Reader) []byte) ([]byte, End) {
	var end *End
	late := time.NewTimer(grace)
	select {
	case e := <-o.ended:
		end = &e
	case <-late.C:
	}
	late.Stop()
	kept := keep(o)
	io.Copy(io.Discard, o)
	if end == nil {
		e := <-o.ended
		end = &e
	}
	return kept, *end
}

// Read reads the output, waiting for it where there is none yet.
func (o *Output) Read(b []byte) (n int, err error) {
	if o.eof {
		return 0, io.EOF
	}
	if o.file == nil {
		n, err = nowait.Read(o.fd, b)
		if err == unix.EAGAIN || err == unix.EINTR {
			o.file = os.NewFile(uintptr(o.fd), "output of a program")
		}
	}
	if o.file != nil {
		n, err = o.file.Read(b)
	}
	if n <= 0 && (err == nil || err == io.EOF) {
		o.eof = true
		return 0, io.EOF
	}
	return max(n, 0), err
}

// Close lets go of the pipe; further reads find nothing. A program that still prints
// is told so by a signal or an error, as usual.
func (o *Output) Close() {
	switch {
	case o.file != nil:
		o.file.Close()
	case o.fd >= 0:
		nowait.NewFile(o.fd).Close()
	}
	o.fd, o.eof = -1, true
}
