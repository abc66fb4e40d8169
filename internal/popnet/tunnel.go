package popnet

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/pop3"
	"quail/internal/prog"
	"quail/internal/ucspi"
)

// keys make TLS of a connection.
type keys interface {
	Ready() error // nil if they can
	Handshake(conn *ucspi.Conn) (tunnel, error)
}

// tunnel is a connection under TLS.
type tunnel interface {
	io.ReadWriteCloser
}

// mayStartTLS reports whether STLS is offered now.
func (s *session) mayStartTLS() bool {
	return s.tunnel == nil && s.keys != nil && s.keys.Ready() == nil
}

// startTLS answers STLS. All that the client said before is forgotten, since somebody
// else may have said it (RFC 2595, section 4). What follows STLS without TLS is no
// command either: nothing has been read ahead, so the handshake meets it, and fails.
func (s *session) startTLS() error {
	if s.say(pop3.OK+"begin TLS negotiation") != nil {
		return errClient
	}
	t, err := s.keys.Handshake(s.plain)
	if err != nil {
		return prog.Fail("TLS handshake failed", err)
	}
	s.tunnel, s.client = t, t
	s.name, s.named, s.utf8, s.demanding = "", false, false, false
	return nil
}

// pass moves what the client sends to the server and what that answers to the client,
// until the server has ended, or can send nothing any more. A client that has gone, or
// an other half that has, is the end of the server's input.
func pass(client tunnel, data *os.File, alone <-chan struct{}) error {
	go func() {
		io.Copy(data, client)
		shut(data)
	}()
	go func() {
		<-alone
		shut(data)
	}()
	io.Copy(client, data)
	client.Close()
	return nil
}

// shut says that nothing more will be written to a socket.
func shut(socket *os.File) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	if held := raw.Control(func(fd uintptr) { err = syscall.Shutdown(int(fd), unix.SHUT_WR) }); held != nil {
		return held
	}
	return err
}
