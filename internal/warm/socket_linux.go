package warm

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/nowait"
)

// available says that this system can keep programs warm.
const available = true

// socket is one end of a pair whose packets are records.
//
// The runtime is to wait for packets alone. Left to itself it would wait for whatever can
// happen to a descriptor, and a socket can be written to whenever the other end has taken
// a packet: both processes would be woken for each once more, for nothing.
type socket struct {
	own     *os.File // the socket, which nobody waits for
	packets *os.File // the kernel's list of what is waited for: packets at the socket
	arrived syscall.RawConn
	full    sync.Mutex // held by who waits for room, so that many need only one thread
}

// pair returns the two ends of a new connection. Both wait, as any program expects of
// its descriptors.
func pair() (ours *socket, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "warm socket of a program")
	ours, err = newSocket(fds[0])
	if err != nil {
		theirs.Close()
	}
	return ours, theirs, err
}

// newSocket takes a descriptor.
func newSocket(fd int) (s *socket, err error) {
	own := os.NewFile(uintptr(fd), "warm socket")
	list, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		if err = unix.SetNonblock(list, true); err == nil {
			err = unix.EpollCtl(list, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN})
		}
		packets := os.NewFile(uintptr(list), "packets at a warm socket")
		var arrived syscall.RawConn
		if err == nil {
			arrived, err = packets.SyscallConn()
		}
		if err == nil {
			return &socket{own: own, packets: packets, arrived: arrived}, nil
		}
		packets.Close()
	}
	own.Close()
	return nil, err
}

// inherited returns the socket that this process was started with, if it was.
func inherited() (*socket, error) {
	kind, err := unix.GetsockoptInt(socketNumber, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_SEQPACKET {
		return nil, errors.New("descriptor 3 is not the socket of a parent")
	}
	unix.CloseOnExec(socketNumber)
	return newSocket(socketNumber)
}

// send writes one packet, waiting until there is room.
func (s *socket) send(record []byte, descriptors []int) error {
	var rights []byte
	if len(descriptors) > 0 {
		rights = unix.UnixRights(descriptors...)
	}
	var err error
	sent := func(send func(fd int) error) bool {
		err = unix.EINTR
		for err == unix.EINTR {
			if closed := s.control(func(fd int) { err = send(fd) }); closed != nil {
				err = closed
			}
		}
		return err != unix.EAGAIN
	}
	if !sent(func(fd int) error { return nowait.Send(fd, record, rights) }) {
		s.full.Lock()
		defer s.full.Unlock()
		sent(func(fd int) error { return unix.Sendmsg(fd, record, rights, nil, unix.MSG_NOSIGNAL) })
	}
	return err
}

// control calls f with the descriptor of the socket, which stays open meanwhile.
func (s *socket) control(f func(fd int)) error {
	raw, err := s.own.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}

// receive reads one packet; io.EOF says that the other end is gone. With room for
// them it takes the descriptors that come along; without, the kernel throws them away.
func (s *socket) receive(in *buffer, room []byte) (record string, descriptors []int, err error) {
	var oobn, flags int
	waited := s.arrived.Read(func(uintptr) bool {
		in.mu.Lock()
		defer in.mu.Unlock()
		closed := s.control(func(fd int) {
			err = unix.EINTR
			for err == unix.EINTR {
				var n int
				n, oobn, flags, err = nowait.Receive(fd, in.bytes, room)
				if err == nil {
					record = string(in.bytes[:n])
				}
			}
		})
		if closed != nil {
			err = closed
		}
		return err != unix.EAGAIN
	})
	switch {
	case waited != nil:
		return "", nil, waited
	case err != nil:
		return "", nil, err
	}
	descriptors = rights(room[:oobn])
	switch {
	case record == "":
		return "", nil, io.EOF // no record is empty
	case flags&unix.MSG_TRUNC != 0 || room != nil && flags&unix.MSG_CTRUNC != 0:
		closeAll(descriptors)
		return "", nil, errRecord
	}
	return record, descriptors, nil
}

// rights returns the descriptors in control messages.
func rights(control []byte) []int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	var out []int
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			out = append(out, fds...)
		}
	}
	return out
}

func closeAll(descriptors []int) {
	for _, fd := range descriptors {
		unix.Close(fd)
	}
}

// room is how much space the descriptors of one packet need.
var room = unix.CmsgSpace(4 * maxDescriptors)

// tooLong reports whether err says that a record does not fit a packet.
func tooLong(err error) bool { return errors.Is(err, unix.EMSGSIZE) }

// finish tells the other end that nothing more will come.
func (s *socket) finish() {
	s.control(func(fd int) { unix.Shutdown(fd, unix.SHUT_WR) })
}

// close lets go of the socket. Whoever waits for something there is told.
func (s *socket) close() {
	s.control(func(fd int) { unix.Shutdown(fd, unix.SHUT_RDWR) })
	s.packets.Close()
	s.own.Close()
}
