package warm

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// available says that this system can keep programs warm.
const available = true

// socket is one end of a pair whose packets are records.
type socket struct {
	file *os.File
	raw  syscall.RawConn
}

// pair returns the two ends of a new connection. Theirs waits, as any program expects
// of its descriptors.
func pair() (ours *socket, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fds[0], true)
	}
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

// newSocket takes a descriptor that does not block.
func newSocket(fd int) (*socket, error) {
	f := os.NewFile(uintptr(fd), "warm socket")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &socket{f, raw}, nil
}

// inherited returns the socket that this process was started with, if it was.
func inherited() (*socket, error) {
	kind, err := unix.GetsockoptInt(socketNumber, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_SEQPACKET {
		return nil, errors.New("descriptor 3 is not the socket of a parent")
	}
	unix.CloseOnExec(socketNumber)
	if err := unix.SetNonblock(socketNumber, true); err != nil {
		return nil, err
	}
	return newSocket(socketNumber)
}

// send writes one packet, waiting until there is room.
func (s *socket) send(record []byte, descriptors []int) error {
	var rights []byte
	if len(descriptors) > 0 {
		rights = unix.UnixRights(descriptors...)
	}
	var err error
	waited := s.raw.Write(func(fd uintptr) bool {
		for {
			err = unix.Sendmsg(int(fd), record, rights, nil, unix.MSG_NOSIGNAL)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	if waited != nil {
		return waited
	}
	return err
}

// receive reads one packet; io.EOF says that the other end is gone. With room for
// them it takes the descriptors that come along; without, the kernel throws them away.
func (s *socket) receive(in *buffer, room []byte) (record string, descriptors []int, err error) {
	var oobn, flags int
	waited := s.raw.Read(func(fd uintptr) bool {
		in.mu.Lock()
		defer in.mu.Unlock()
		for {
			var n int
			n, oobn, flags, _, err = unix.Recvmsg(int(fd), in.bytes, room, unix.MSG_CMSG_CLOEXEC)
			if err == nil {
				record = string(in.bytes[:n])
			}
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
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
	s.raw.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_WR) })
}

func (s *socket) close() { s.file.Close() }
