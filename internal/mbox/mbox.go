// Package mbox appends messages to mbox files, the mailbox in which messages stand
// one after the other, each begun by a line "From SENDER DATE".
// See contract 10 and spec "Local delivery", section 12.
//
// Lines of a message that look like that one are quoted, with one more > each time
// (mboxrd), so that no stranger can begin a message inside his own. Other programs
// write to the file at the same time: it is locked with flock, and cut back to its
// old length if a message does not get into it whole.
package mbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/durable"
)

// LockWait is how long Append waits for another program to be done with the file.
const LockWait = 30 * time.Second

// lockPause is the time between two attempts to get the lock.
const lockPause = 50 * time.Millisecond

// ErrLocked says that the file was locked for all of LockWait.
var ErrLocked = errors.New("file has been locked for 30 seconds straight")

// OpenError says that the file could not be opened. Nothing was written.
type OpenError struct{ Err error }

func (e *OpenError) Error() string { return e.Err.Error() }
func (e *OpenError) Unwrap() error { return e.Err }

// Append adds head, which begins with the From line and is not quoted, and message
// to the file, and returns when they are on disk. The file is created if need be.
// An error from reading message can be told by errors.As.
func Append(path, head string, message io.Reader, now func() time.Time) error {
	start := now()
	f, locked, err := open(path, func() bool { return now().Sub(start) >= LockWait })
	if err != nil {
		return err
	}
	defer f.Close() // after Sync there is nothing left for it to say
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	err = write(f, head, message)
	if err == nil && end == 0 {
		err = syncParent(path)
	}
	if err != nil && locked {
		// Without the lock, what stands at the end may be somebody else's.
		f.Truncate(end)
	}
	return err
}

// open opens the file and locks it, unless expired first, and reports whether locking
// worked.
//
// Differs from qmail: who rewrites an mbox may hold the lock and put a new file in
// its place, as maildir2mbox does. What waited for the lock would then write to a
// file without a name, so it looks again.
func open(path string, expired func() bool) (f *os.File, locked bool, err error) {
	for {
		// A fifo without a reader must be an error, not a wait.
		f, err = durable.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, false, &OpenError{err}
		}
		opened, err := f.Stat()
		if err == nil && !opened.Mode().IsRegular() {
			// Neither pipes nor devices can promise to keep a message.
			err = &os.PathError{Op: "write", Path: path, Err: syscall.EINVAL}
		}
		if err == nil {
			locked, err = lock(f, expired)
		}
		if err != nil {
			f.Close()
			return nil, false, err
		}
		named, err := os.Stat(path)
		if err == nil && os.SameFile(opened, named) {
			return f, locked, nil
		}
		f.Close()
		if expired() {
			return nil, false, ErrLocked
		}
	}
}

// lock locks the file and reports whether that worked: a file system without
// locks is used without.
//
// It asks again and again instead of waiting in the system call, which nothing
// but a signal could end: a call left behind by a timeout would one day take a
// lock that nobody gives back.
func lock(f *os.File, expired func() bool) (bool, error) {
	for {
		switch unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) {
		case nil:
			return true, nil
		case unix.EWOULDBLOCK, unix.EINTR:
		default:
			return false, nil
		}
		if expired() {
			return false, ErrLocked
		}
		time.Sleep(lockPause)
	}
}

func write(f *os.File, head string, message io.Reader) error {
	w := bufio.NewWriterSize(f, 1<<14)
	if _, err := w.WriteString(head); err != nil {
		return err
	}
	if err := quote(w, bufio.NewReaderSize(message, 1<<14)); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// quote copies a message: lines of zero or more > and "From " get one > more, a
// last line without its newline gets one, and an empty line ends the message.
// Lines may be of any length.
func quote(w *bufio.Writer, r *bufio.Reader) error {
	for {
		if _, err := r.Peek(1); err != nil {
			if err != io.EOF {
				return fmt.Errorf("read message: %w", err)
			}
			return w.WriteByte('\n')
		}
		if err := quoteLine(w, r); err != nil {
			return err
		}
	}
}

// quoteLine copies one line. The > that it may add goes after those that are
// there, where it makes the same line as before them, because only then is it
// known what follows, and there may be more of them than memory.
func quoteLine(w *bufio.Writer, r *bufio.Reader) error {
	for {
		c, err := r.ReadByte()
		if err != nil || c != '>' {
			if err == nil {
				err = r.UnreadByte()
			}
			if err != nil && err != io.EOF {
				return fmt.Errorf("read message: %w", err)
			}
			break
		}
		if err := w.WriteByte('>'); err != nil {
			return err
		}
	}
	// Peek's error, if any, is met again by the next read.
	if start, _ := r.Peek(5); string(start) == "From " {
		if err := w.WriteByte('>'); err != nil {
			return err
		}
	}
	for {
		part, rerr := r.ReadSlice('\n')
		if _, err := w.Write(part); err != nil {
			return err
		}
		switch rerr {
		case nil:
			return nil
		case bufio.ErrBufferFull:
		case io.EOF:
			return w.WriteByte('\n')
		default:
			return fmt.Errorf("read message: %w", rerr)
		}
	}
}

// syncParent brings the name of a file that may be new to disk.
//
// Differs from qmail, which trusts the file system with that. A directory that the
// recipient may not read, as those for all users often are, cannot be synced and is
// left to the system, as there.
func syncParent(path string) error {
	dir, _ := filepath.Split(path) // not Dir, which would take x/../ for nothing
	err := durable.Dir(dir + ".")
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
