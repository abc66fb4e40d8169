package ucspi

import (
	"io"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/prog"
)

// Conn is the connection of a server: what it reads comes from descriptor 0, what
// it writes goes to descriptor 1. Each wait for the client has a limit.
//
// Other programs of a chain share the descriptors and find them as they were: one
// that blocks goes on blocking. Descriptors 0 and 1 may be two pipes, or files.
type Conn struct {
	in, out end
	timeout time.Duration
}

// NewConn returns the connection of p. A read or write that takes longer than
// timeout fails with os.ErrDeadlineExceeded.
func NewConn(p *prog.Process, timeout time.Duration) *Conn {
	return &Conn{newEnd(p.Stdin), newEnd(p.Stdout), timeout}
}

// Read reads what there is, waiting for the first byte of it. The end of the
// connection is io.EOF.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if c.in.runtime {
		c.in.file.SetReadDeadline(time.Now().Add(c.timeout))
		return c.in.file.Read(b)
	}
	n, err := c.in.step(unix.POLLIN, c.timeout, func(fd int) (int, error) { return unix.Read(fd, b) })
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// maxStep is how much is written at a time, each time with a new timeout. To a
// descriptor that blocks it is no more than what poll promises to take at once:
// PIPE_BUF on Linux, and less than the room a socket has when it is writable again.
func (e end) maxStep() int {
	if e.runtime {
		return 65536
	}
	return 4096
}

// Write writes all of b.
func (c *Conn) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n, err := c.writeStep(b[done:min(len(b), done+c.out.maxStep())])
		done += n
		if err != nil {
			return done, err
		}
	}
	return len(b), nil
}

func (c *Conn) writeStep(b []byte) (int, error) {
	if c.out.runtime {
		c.out.file.SetWriteDeadline(time.Now().Add(c.timeout))
		return c.out.file.Write(b)
	}
	return c.out.step(unix.POLLOUT, c.timeout, func(fd int) (int, error) { return unix.Write(fd, b) })
}

// end is one of the two descriptors.
type end struct {
	file *os.File
	// runtime: the descriptor was given to us not to block, so that the runtime
	// waits for it and knows deadlines.
	runtime bool
}

func newEnd(f *os.File) end {
	return end{f, f.SetDeadline(time.Time{}) == nil}
}

// step waits until the descriptor is ready and does op once. The clock here is
// the kernel's and not the job's: it measures a wait.
func (e end) step(events int16, timeout time.Duration, op func(fd int) (int, error)) (n int, err error) {
	raw, err := e.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	deadline := time.Now().Add(timeout)
	held := raw.Control(func(fd uintptr) {
		for {
			if err = wait(int(fd), events, deadline); err != nil {
				return
			}
			n, err = op(int(fd))
			// Ready and yet not: another process shares the descriptor, and was first.
			if err != unix.EINTR && err != unix.EAGAIN {
				return
			}
		}
	})
	if held != nil {
		err = os.ErrClosed
	}
	if err != nil {
		return 0, e.explain(events, err)
	}
	return n, nil
}

// wait returns when the descriptor is ready. An error or a hang-up is ready too:
// the read or write that follows tells what it is.
func wait(fd int, events int16, deadline time.Time) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		left := max(0, time.Until(deadline))
		ms := min(int64((left+time.Millisecond-1)/time.Millisecond), math.MaxInt32)
		n, err := unix.Poll(fds, int(ms))
		switch {
		case n > 0:
			return nil
		case err != nil && err != unix.EINTR:
			return err
		case n == 0 && err == nil && !time.Now().Before(deadline):
			return os.ErrDeadlineExceeded
		}
	}
}

// explain gives an error the form in which os reports it.
func (e end) explain(events int16, err error) error {
	op := "read"
	if events == unix.POLLOUT {
		op = "write"
	}
	return &os.PathError{Op: op, Path: e.file.Name(), Err: err}
}
