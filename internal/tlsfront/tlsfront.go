// Package tlsfront is qmail-tls, which puts TLS before a program that knows nothing of
// it: what the client says reaches the program in plain, and what the program says
// reaches the client by TLS.
//
// The caller's process becomes the program, so that whoever started it sees the
// program's process id and status. TLS is spoken by a child of that, the same file run
// once more, which QUAIL_TLS in its environment tells; its descriptors 3 and 4 are the
// program's connection and a pipe for what the program is to know. The program begins
// when the handshake has been done, and not at all if that fails. The child ends when
// the program has let go of its connection and all that it said is under way.
//
// The enemy is the client. The child has a wall from before its first byte: it can reach
// no file, run nothing, and call nobody but sockets of this host, as that of qmail-keys.
package tlsfront

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/keywire"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/sandbox"
	"quail/internal/servertls"
	"quail/internal/ucspi"
)

// variable tells the child what it is.
const variable = "QUAIL_TLS"

// What the program learns of the session, by the names that ucspi-ssl gives it.
var names = []string{"SSL_PROTOCOL", "SSL_CIPHER", "SSL_TLS_SNI_SERVERNAME"}

const (
	// readTime is how long a client may be silent: the program has a limit of its own.
	readTime = 365 * 24 * time.Hour
	// writeTime is how long a client may take nothing, also after the program's end.
	writeTime = 20 * time.Minute

	pieceSize = 16 << 10
)

// Run is the program qmail-tls.
func Run(p *prog.Process) error {
	if _, set := p.Env.Lookup(variable); set && len(p.Args) == 0 {
		return speak(p)
	}
	if len(p.Args) == 0 {
		return prog.Usage("qmail-tls program [ arg ... ]")
	}
	ours, theirs, err := pair()
	if err != nil {
		return prog.Fail("unable to create a pair of sockets", err)
	}
	facts, tell, err := os.Pipe()
	if err != nil {
		return prog.Fail("unable to create pipe", err)
	}
	self, err := os.Executable()
	if err != nil {
		return prog.Fail("unable to find myself", err)
	}
	env := prog.Env{variable + "=1"}
	for _, name := range []string{"TCPREMOTEIP", "TCPLOCALHOST"} {
		if value, set := p.Env.Lookup(name); set {
			env = env.With(name, value)
		}
	}
	child := proc.Command{Args: []string{self}, Env: env, Dir: "/",
		Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr, Extra: []*os.File{theirs, tell}}
	if _, err := child.Start(); err != nil {
		return prog.Fail("unable to run myself", err)
	}
	theirs.Close()
	tell.Close()
	told, err := io.ReadAll(facts)
	facts.Close()
	if err != nil || len(told) == 0 {
		return prog.Exit(prog.StatusTemporary) // the child has said why
	}
	env = p.Env.Without(names...)
	for i, value := range strings.SplitN(string(told), "\x00", len(names)) {
		if value != "" {
			env = env.With(names[i], value)
		}
	}
	return &prog.Become{Args: p.Args, Env: env, Files: map[int]*os.File{0: ours, 1: ours}}
}

// pair returns the ends of a connection.
func pair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	return os.NewFile(uintptr(fds[0]), "program"), os.NewFile(uintptr(fds[1]), "program"), nil
}

// speak is the child.
func speak(p *prog.Process) error {
	if err := prog.Descriptors(5)(p); err != nil {
		return err
	}
	program, tell := p.Extra[0], p.Extra[1]
	if program == nil || tell == nil {
		return prog.Usage("qmail-tls program [ arg ... ]")
	}
	if err := sandbox.Around(sandbox.Wall{Network: sandbox.Syslog})(p); err != nil {
		return err
	}
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
	if _, err := io.WriteString(tell, strings.Join([]string{c.Version(), c.Cipher(), c.ServerName()}, "\x00")); err != nil {
		return prog.Exit(prog.StatusTemporary)
	}
	tell.Close()
	return pass(c, program)
}

// pass moves what either side says to the other, until the program has gone.
func pass(c *servertls.Conn, program *os.File) error {
	fd := int(program.Fd())
	go func() {
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
	}()
	piece := make([]byte, pieceSize)
	for {
		n, _ := program.Read(piece)
		if n == 0 {
			break
		}
		if _, err := c.Write(piece[:n]); err != nil {
			// The program learns it by its next word, and is not waited for.
			return prog.Exit(prog.StatusTemporary)
		}
	}
	c.CloseWrite()
	// It may have said all, and yet go on reading.
	for {
		hung := []unix.PollFd{{Fd: int32(fd)}}
		if n, err := unix.Poll(hung, -1); n > 0 || err != unix.EINTR {
			return nil
		}
	}
}
