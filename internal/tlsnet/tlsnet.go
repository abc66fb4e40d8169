// Package tlsnet is qmail-tlsnet, which speaks TLS for a program that knows nothing of
// it; qmail-tls starts it. Descriptors 0 and 1 are the client, 3 is the program's
// connection, and what is known of the session (package tlsfacts) is written to 4 after
// the handshake. It ends when the program has let go of its connection and all that it
// said is under way.
//
// The enemy is the client. There is a wall from before its first byte: no file can be
// reached from here, nothing run, and nobody called but sockets of this host, as that of
// qmail-keys.
package tlsnet

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/keywire"
	"quail/internal/privs"
	"quail/internal/prog"
	"quail/internal/servertls"
	"quail/internal/tlsfacts"
	"quail/internal/ucspi"
)

const (
	// readTime is how long a client may be silent: the program has a limit of its own.
	readTime = 365 * 24 * time.Hour
	// writeTime is how long a client may take nothing.
	writeTime = 20 * time.Minute
	// restTime is how long it may take to take what is left when the program has ended,
	// which is at most what a socket holds.
	restTime = 2 * time.Minute

	pieceSize = 16 << 10
)

// Run is the program qmail-tlsnet. Other processes of the same user are not to look for
// what is said in it.
func Run(p *prog.Process) error {
	if err := privs.Undumpable(); err != nil {
		return err
	}
	if len(p.Args) != 0 || len(p.Extra) != 2 || p.Extra[0] == nil || p.Extra[1] == nil {
		return prog.Usage("qmail-tls runs qmail-tlsnet")
	}
	program, tell := p.Extra[0], p.Extra[1]
	conn, err := ucspi.NewConn(p, servertls.HandshakeTime)
	if err != nil {
		return fmt.Errorf("connection: %w", err)
	}
	keys := servertls.New(conf.Home+"/"+keywire.Path, p.Now)
	c, err := keys.Handshake(conn, p.Env.Get("TCPLOCALHOST"))
	if err != nil {
		return fmt.Errorf("no TLS with %s: %w", p.Env.Get("TCPREMOTEIP"), err)
	}
	c.SetTimeouts(readTime, writeTime)
	facts := tlsfacts.Facts{Version: c.Version(), Cipher: c.Cipher(), Server: c.ServerName()}
	if _, err := tell.Write(facts.Record()); err != nil {
		return prog.Exit(prog.StatusTemporary)
	}
	tell.Close()
	return pass(c, program, restTime)
}

// client is what a servertls.Conn is to pass.
type client interface {
	io.ReadWriter
	CloseWrite() error
}

// pass moves what either side says to the other, until the program has gone. The client
// may take a rest of that time to take what the program said last: nobody counts any more
// how many such connections there are.
func pass(c client, program *os.File, rest time.Duration) error {
	fd := int(program.Fd())
	go hear(c, program, fd)
	said := make(chan error, 1)
	go func() { said <- say(c, program) }()
	gone := make(chan struct{})
	go func() {
		waitHung(fd)
		close(gone)
	}()
	select {
	case err := <-said:
		if err == nil {
			<-gone // it may have said all, and yet go on reading
		}
		return err
	case <-gone:
	}
	select {
	case err := <-said:
		return err
	case <-time.After(rest):
		return prog.Exit(prog.StatusTemporary)
	}
}

// hear passes on what the client says, and its end.
func hear(c client, program *os.File, fd int) {
	piece := make([]byte, pieceSize)
	to := io.Writer(program)
	for {
		n, err := c.Read(piece)
		if n > 0 {
			if _, failed := to.Write(piece[:n]); failed != nil {
				// A client with something unread would be told of an error before the answer.
				to = io.Discard
			}
		}
		if err != nil {
			unix.Shutdown(fd, unix.SHUT_WR)
			return
		}
	}
}

// say passes on what the program says. After an error that learns it by its next word,
// and is not waited for.
func say(c client, program *os.File) error {
	piece := make([]byte, pieceSize)
	for {
		n, _ := program.Read(piece)
		if n == 0 {
			c.CloseWrite()
			return nil
		}
		if _, err := c.Write(piece[:n]); err != nil {
			return prog.Exit(prog.StatusTemporary)
		}
	}
}

// waitHung waits until all at the other end of a connection have closed it.
func waitHung(fd int) {
	for {
		hung := []unix.PollFd{{Fd: int32(fd)}}
		if n, err := unix.Poll(hung, -1); n > 0 || err != unix.EINTR {
			return
		}
	}
}
