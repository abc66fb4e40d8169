package nowait

import (
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Polled returns an end of a pipe or a socket as a file for which goroutines wait without
// taking a thread each, which another thread would have to notice and make up for. Reads
// and writes of whoever else has this end do not wait any more. Files of other kinds are
// returned as they are.
func Polled(f *os.File) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFIFO && kind != unix.S_IFSOCK {
		return f, nil
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// Stream is a file with the reads and writes of this package, if it can be Polled.
type Stream struct {
	f   *os.File
	raw syscall.RawConn // nil: it cannot
}

// NewStream returns f as a Stream.
func NewStream(f *os.File) (s *Stream, err error) {
	waits := f.SetDeadline(time.Time{}) == nil
	if !waits {
		if f, err = Polled(f); err != nil {
			return nil, err
		}
		waits = f.SetDeadline(time.Time{}) == nil
	}
	s = &Stream{f: f}
	if waits {
		s.raw, err = f.SyscallConn()
	}
	return s, err
}

// Read reads what there is, waiting for the first byte of it.
func (s *Stream) Read(b []byte) (n int, err error) {
	if s.raw == nil || len(b) == 0 {
		return s.f.Read(b)
	}
	waited := s.raw.Read(func(fd uintptr) bool {
		n, err = over(fd, b, read)
		return err != unix.EAGAIN
	})
	if waited != nil {
		return 0, waited
	}
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, os.NewSyscallError("read", err)
}

// Write writes all of b.
func (s *Stream) Write(b []byte) (done int, err error) {
	if s.raw == nil {
		return s.f.Write(b)
	}
	for done < len(b) && err == nil {
		waited := s.raw.Write(func(fd uintptr) bool {
			var n int
			n, err = over(fd, b[done:], write)
			done += n
			return err != unix.EAGAIN
		})
		if waited != nil {
			return done, waited
		}
	}
	return done, os.NewSyscallError("write", err)
}

// Blocking writes to a file that blocks: past the runtime as long as there is room, and
// else like any other. (A call past it that waited would keep all goroutines waiting that
// have to stop for the garbage collector, be it for a reader among them.)
type Blocking struct{ File *os.File }

// atOnce is what a pipe takes that has room at all, on Linux.
const atOnce = 4096

// Write writes all of b.
func (w Blocking) Write(b []byte) (done int, err error) {
	raw, err := w.File.SyscallConn()
	if err != nil {
		return 0, err
	}
	room := true
	for done < len(b) && room && err == nil {
		closed := raw.Control(func(fd uintptr) {
			if room = writable(int(fd)); room {
				var n int
				n, err = over(fd, b[done:min(len(b), done+atOnce)], write)
				done += n
			}
		})
		if closed != nil {
			return done, closed
		}
	}
	if done < len(b) && err == nil {
		n, err := w.File.Write(b[done:])
		return done + n, err
	}
	return done, os.NewSyscallError("write", err)
}

// Closer closes files: what they hold at once, and many of them together, since that is
// left to the library.
type Closer struct {
	// Null is what takes the place of what a file holds until then.
	Null *os.File

	mu     sync.Mutex
	closed []*os.File
}

// together is how many files are closed together.
const together = 16

// Close closes a file that nobody uses any more.
func (c *Closer) Close(f *os.File) {
	raw, err := f.SyscallConn()
	if err == nil {
		closed := raw.Control(func(fd uintptr) { err = replace(int(fd), int(c.Null.Fd())) })
		if closed != nil {
			return
		}
	}
	if err != nil {
		f.Close()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = append(c.closed, f)
	if len(c.closed) == together {
		for i, f := range c.closed {
			f.Close()
			c.closed[i] = nil
		}
		c.closed = c.closed[:0]
	}
}

// over makes a call, again if a signal comes in between.
func over(fd uintptr, b []byte, call func(int, []byte) (int, error)) (n int, err error) {
	err = unix.EINTR
	for err == unix.EINTR {
		n, err = call(int(fd), b)
	}
	return max(n, 0), err
}
