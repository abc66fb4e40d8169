package ucspi

import (
	"errors"
	"io"
	"math"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/nowait"
	"quail/internal/prog"
)

// Conn is the connection of a server: what it reads comes from descriptor 0, what
// it writes goes to descriptor 1. Each wait for the client has a limit.
//
// Other programs of a chain share the descriptors and find them as they were: one
// that blocks goes on blocking. Descriptors 0 and 1 may be two pipes, or files. In a
// warm process they are the job's alone: there sockets are waited for without a thread.
type Conn struct {
	in, out end
	timeout time.Duration
	last    time.Time   // when the whole connection is over, if it is ever
	closers [2]*os.File // ours to close
}

// NewConn returns the connection of p. A read or write that takes longer than
// timeout fails with os.ErrDeadlineExceeded. In a warm process p cannot use its
// descriptors any more; an error says that it still can.
func NewConn(p *prog.Process, timeout time.Duration) (*Conn, error) {
	c := &Conn{timeout: timeout}
	in, out := p.Stdin, p.Stdout
	if p.Warm {
		var err error
		if in, out, err = c.adopt(in, out); err != nil {
			return nil, err
		}
	}
	c.in = newEnd(in)
	c.out = c.in
	if out != in {
		c.out = newEnd(out)
	}
	return c, nil
}

// Limit bounds the connection as a whole: from now on waits that last longer than total,
// taken together with all that is done between them, fail as those that are too long do.
func (c *Conn) Limit(total time.Duration) { c.last = time.Now().Add(total) }

// within returns how much of timeout the connection still has, less than nothing if it is
// over.
func (c *Conn) within(timeout time.Duration) time.Duration {
	if c.last.IsZero() {
		return timeout
	}
	return min(timeout, time.Until(c.last))
}

// Close lets go of the connection, if it is a warm job's; else its end is that of the
// process.
func (c *Conn) Close() {
	for _, f := range c.closers {
		if f != nil {
			f.Close()
		}
	}
}

// adopt returns files in place of in and out that the runtime's poller knows, if they
// are sockets: of those nobody else has the use.
func (c *Conn) adopt(in, out *os.File) (*os.File, *os.File, error) {
	files := [2]*os.File{in, out}
	for i, f := range files {
		if i > 0 && f == in {
			files[i] = files[0]
			break
		}
		if f.SetDeadline(time.Time{}) == nil { // the runtime knows it already
			continue
		}
		fresh, err := adopted(f)
		if err != nil {
			c.Close()
			return nil, nil, err
		}
		if fresh != nil {
			c.closers[i], files[i] = fresh, fresh
		}
	}
	for i, f := range [2]*os.File{in, out} {
		if files[i] != f {
			f.Close()
		}
	}
	return files[0], files[1], nil
}

// adopted returns a file of its own for the descriptor of f, and has it not block. It
// is nil if that is no socket.
func adopted(f *os.File) (fresh *os.File, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	held := raw.Control(func(fd uintptr) {
		var st unix.Stat_t
		if err = unix.Fstat(int(fd), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
			return
		}
		var own int
		if own, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err != nil {
			return
		}
		if err = unix.SetNonblock(own, true); err != nil {
			unix.Close(own)
			return
		}
		fresh = os.NewFile(uintptr(own), f.Name())
	})
	if held != nil {
		err = held
	}
	return fresh, err
}

// Memory is lent for what is read. A server with many clients that wait needs it only
// while there is something.
type Memory interface {
	Borrow() []byte
	Return() // the last one borrowed, nothing having been read
}

// ReadTo is Read, but borrows the memory when there may be something to read, so
// that none is held while it waits.
func (c *Conn) ReadTo(m Memory) (n int, err error) { return c.ReadWithin(m, c.timeout) }

// ReadWithin is ReadTo with a limit of its own.
func (c *Conn) ReadWithin(m Memory, timeout time.Duration) (n int, err error) {
	return c.read(m, c.within(timeout))
}

// Timeout returns the limit of each wait.
func (c *Conn) Timeout() time.Duration { return c.timeout }

// Brief is how long it is before a client takes its time.
const Brief = 100 * time.Millisecond

// ReadSoon is ReadTo for what comes soon. If nothing does, rest is what is left of the
// time that the client has, and ReadTo, or waiting in a Lounge for so long, goes on.
// It is zero if all went as with ReadTo.
func (c *Conn) ReadSoon(m Memory) (n int, rest time.Duration, err error) {
	timeout := c.within(c.timeout)
	if timeout <= Brief {
		n, err = c.ReadTo(m)
		return n, 0, err
	}
	n, err = c.read(m, Brief)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, timeout - Brief, nil
	}
	return n, 0, err
}

func (c *Conn) read(m Memory, timeout time.Duration) (n int, err error) {
	if !c.in.runtime {
		return c.in.step(unix.POLLIN, timeout, func(fd int) (int, error) { return lent(fd, m, unix.Read) })
	}
	c.in.file.SetReadDeadline(time.Now().Add(timeout))
	waited := c.in.raw.Read(func(fd uintptr) bool {
		n, err = lent(int(fd), m, nowait.Read)
		for err == unix.EINTR {
			n, err = lent(int(fd), m, nowait.Read)
		}
		return err != unix.EAGAIN
	})
	if waited != nil {
		return 0, waited
	}
	if err != nil && err != io.EOF {
		err = c.in.explain(unix.POLLIN, err)
	}
	return n, err
}

// lent reads to lent memory, which is given back if nothing comes of it.
func lent(fd int, m Memory, read func(int, []byte) (int, error)) (n int, err error) {
	n, err = read(fd, m.Borrow())
	if n == 0 && err == nil {
		err = io.EOF
	}
	if err != nil {
		m.Return()
		return 0, err
	}
	return n, nil
}

// Read reads what there is, waiting for the first byte of it. The end of the
// connection is io.EOF.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return c.ReadTo(owned(b))
}

// owned is memory that is there anyway.
type owned []byte

func (b owned) Borrow() []byte { return b }
func (b owned) Return()        {}

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
func (c *Conn) Write(b []byte) (int, error) { return c.WriteWithin(b, c.timeout) }

// WriteWithin is Write with a limit of its own for each wait.
func (c *Conn) WriteWithin(b []byte, timeout time.Duration) (int, error) {
	for done := 0; done < len(b); {
		n, err := c.writeStep(b[done:min(len(b), done+c.out.maxStep())], timeout)
		done += n
		if err != nil {
			return done, err
		}
	}
	return len(b), nil
}

func (c *Conn) writeStep(b []byte, timeout time.Duration) (int, error) {
	if c.out.runtime {
		return c.writeSome(b, timeout)
	}
	return c.out.step(unix.POLLOUT, c.within(timeout), func(fd int) (int, error) { return unix.Write(fd, b) })
}

// writeSome writes what there is room for, waiting for that.
func (c *Conn) writeSome(b []byte, timeout time.Duration) (n int, err error) {
	c.out.file.SetWriteDeadline(time.Now().Add(c.within(timeout)))
	waited := c.out.raw.Write(func(fd uintptr) bool {
		for {
			n, err = nowait.Write(int(fd), b)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	if waited != nil {
		return 0, waited
	}
	if err != nil {
		return 0, c.out.explain(unix.POLLOUT, err)
	}
	return n, nil
}

// end is one of the two descriptors.
type end struct {
	file *os.File
	raw  syscall.RawConn
	// runtime: the descriptor does not block, so that the runtime waits for it and
	// knows deadlines.
	runtime bool
}

func newEnd(f *os.File) end {
	raw, err := f.SyscallConn()
	if err != nil {
		return end{file: f}
	}
	return end{f, raw, f.SetDeadline(time.Time{}) == nil}
}

// step waits until the descriptor is ready and does op once. The clock here is
// the kernel's and not the job's: it measures a wait.
func (e end) step(events int16, timeout time.Duration, op func(fd int) (int, error)) (n int, err error) {
	if e.raw == nil {
		return 0, os.ErrInvalid
	}
	if timeout < 0 {
		return 0, e.explain(events, os.ErrDeadlineExceeded)
	}
	deadline := time.Now().Add(timeout)
	held := e.raw.Control(func(fd uintptr) {
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
	switch {
	case held != nil:
		return 0, e.explain(events, os.ErrClosed)
	case err == io.EOF:
		return 0, err
	case err != nil:
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
