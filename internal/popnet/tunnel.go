package popnet

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/pop3"
	"quail/internal/servertls"
)

// mayStartTLS reports whether STLS is offered now.
func (s *session) mayStartTLS() bool {
	return s.tunnel == nil && s.keys.Ready() == nil
}

// startTLS answers STLS. All that the client said before is forgotten, since somebody
// else may have said it (RFC 2595, section 4). What follows STLS without TLS is no
// command either: nothing has been read ahead, so the handshake meets it, and fails.
func (s *session) startTLS() error {
	if s.say(pop3.OK+"begin TLS negotiation") != nil {
		return errClient
	}
	return s.handshake()
}

// handshake begins TLS, and the session anew.
func (s *session) handshake() error {
	tunnel, err := s.keys.Handshake(s.plain, s.host)
	if err != nil {
		return fmt.Errorf("TLS handshake failed: %w", err)
	}
	s.tunnel, s.client = tunnel, tunnel
	s.name, s.named, s.utf8, s.demanding = "", false, false, false
	return nil
}

// pass moves what the client sends to the server and what that answers to the client,
// until the server has ended, or can send nothing any more. A client that has gone, or
// an other half that has, is the end of the server's input.
func pass(client *servertls.Conn, data *os.File, alone <-chan struct{}) error {
	go func() {
		feed(data, client)
		shut(data)
	}()
	go func() {
		<-alone
		shut(data)
	}()
	if _, err := io.Copy(client, data); err != nil {
		return nil // there is nobody to be told anything
	}
	client.CloseWrite()
	return nil
}

// feed moves what the client sends to the server. How long it may be silent is the
// server's affair.
func feed(data *os.File, client *servertls.Conn) {
	var piece [4096]byte
	for {
		n, err := client.Read(piece[:])
		if _, failed := data.Write(piece[:n]); failed != nil {
			return
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
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
