package queue

import (
	"os"

	"golang.org/x/sys/unix"

	"quail/internal/nowait"
)

const trigger Name = "lock/trigger"

// PullTrigger wakes qmail-send. It never fails: if nobody listens, nobody needs
// to be woken.
func (d Dir) PullTrigger() {
	fd, err := unix.Open(d.Path(trigger), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	unix.Write(fd, []byte{0})
	unix.Close(fd)
}

// Trigger is the listening end of the FIFO.
type Trigger struct {
	f     *os.File
	pulls *nowait.Stream
}

// OpenTrigger starts listening. The FIFO is held open for writing too: with no
// writer a reader would see its end again and again.
func (d Dir) OpenTrigger() (*Trigger, error) {
	f, err := os.OpenFile(d.Path(trigger), os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &Error{"unable to open", trigger, err}
	}
	pulls, err := nowait.NewStream(f)
	if err != nil {
		f.Close()
		return nil, &Error{"unable to open", trigger, err}
	}
	return &Trigger{f, pulls}, nil
}

// Listening reports whether t is what PullTrigger pulls: the FIFO may have been
// replaced by another one of that name.
func (d Dir) Listening(t *Trigger) bool {
	there, err := os.Stat(d.Path(trigger))
	if err != nil {
		return false
	}
	here, err := t.f.Stat()
	return err == nil && os.SameFile(here, there)
}

// Close ends listening, and with it every Wait.
func (t *Trigger) Close() { t.f.Close() }

// Wait returns when the trigger has been pulled since the last call. A scan of
// todo that starts after Wait returns sees every message pulled for.
func (t *Trigger) Wait() error {
	var pulls [512]byte
	_, err := t.pulls.Read(pulls[:])
	return err
}

// Lock takes the lock that only one qmail-send can have. The lock lives as long
// as the returned file is open.
func (d Dir) Lock() (f *os.File, busy bool, err error) {
	const mutex Name = "lock/sendmutex"
	f, err = os.OpenFile(d.Path(mutex), os.O_WRONLY, 0)
	if err != nil {
		return nil, false, &Error{"unable to open", mutex, err}
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, true, &Error{"unable to lock", mutex, err}
	}
	return f, false, nil
}
