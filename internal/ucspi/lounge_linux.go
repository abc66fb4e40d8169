package ucspi

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// guest is a connection that waits.
type guest struct {
	call  func(late bool)
	timer *time.Timer
}

// poll is the kernel's list of what is waited for. One goroutine asks for what has
// happened; the runtime tells it when there is something, as the list is a descriptor
// like any other.
type poll struct {
	started bool
	raw     syscall.RawConn // nil if it cannot be had
}

// Wait has call called, once and from a goroutine of its own, when there is something
// to read from the connection or when timeout is over: then it is late. It does not
// wait for that. If it is false nothing happens.
func (l *Lounge) Wait(c *Conn, timeout time.Duration, call func(late bool)) (ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.open() {
		return false
	}
	c.in.raw.Control(func(fd uintptr) {
		// Not for the next event but for what there is by now, too.
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(fd)}
		if l.control(unix.EPOLL_CTL_ADD, int(fd), &event) != nil {
			return
		}
		g := &guest{call: call}
		g.timer = time.AfterFunc(timeout, func() { l.leave(int(fd), g, true) })
		l.guests[int(fd)] = g
		ok = true
	})
	return ok
}

// open sees to it that there is a list. The lock is held.
func (l *Lounge) open() bool {
	if l.poll.started {
		return l.poll.raw != nil
	}
	l.poll.started = true
	list, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	if unix.SetNonblock(list, true) != nil {
		unix.Close(list)
		return false
	}
	if l.poll.raw, err = os.NewFile(uintptr(list), "list of guests").SyscallConn(); err != nil {
		return false
	}
	l.guests = map[int]*guest{}
	go l.look()
	return true
}

func (l *Lounge) control(op, fd int, event *unix.EpollEvent) (err error) {
	if held := l.poll.raw.Control(func(list uintptr) { err = unix.EpollCtl(int(list), op, fd, event) }); held != nil {
		return held
	}
	return err
}

// look calls guests for as long as the process lives.
func (l *Lounge) look() {
	var events [64]unix.EpollEvent
	for {
		n := 0
		l.poll.raw.Read(func(list uintptr) bool {
			n, _ = unix.EpollWait(int(list), events[:], 0)
			return n > 0
		})
		for _, event := range events[:n] {
			l.leave(int(event.Fd), nil, false)
		}
	}
}

// leave calls the guest at a descriptor: only this one, if one is given. Another may
// have come there meanwhile, whom an early call does no harm.
func (l *Lounge) leave(fd int, only *guest, late bool) {
	l.mu.Lock()
	g := l.guests[fd]
	if g == nil || only != nil && g != only {
		l.mu.Unlock()
		return
	}
	delete(l.guests, fd)
	// Before the descriptor can be closed: that would not take it off the list as long
	// as the parent of this process has it too.
	l.control(unix.EPOLL_CTL_DEL, fd, &unix.EpollEvent{})
	l.mu.Unlock()
	g.timer.Stop()
	go g.call(late)
}
