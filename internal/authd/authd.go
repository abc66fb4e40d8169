// Package authd is qmail-authd, the half of qmail-auth that answers: it reads what
// qmail-smtpd asks (package authwire), takes the server's part in an exchange (package
// sasl), and has a name and a password checked by users/mailauth, by Dovecot, or by the
// half of qmail-auth that may run a checkpassword program (package checkpw). It decides
// when an answer is given, and counts what is submitted.
//
// The enemy is whoever sends a name and a password, by way of a qmail-smtpd that may be
// his own by now. He learns what he would learn from qmail-smtpd's port, an answer of yes
// or no; faster only if the qmail-smtpd is his, since it says which address asks. What is
// read is bounded, and so is what is remembered.
package authd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/localsocket"
	"quail/internal/privs"
	"quail/internal/prog"
	"quail/internal/sandbox"
)

var errUsage = prog.Usage("qmail-authd [ -0 ] [ -r | -d socket ]")

// Bounds.
const (
	mostConnections = 5000
	// breather is how long nobody is heard where there is no descriptor for one more.
	breather = 100 * time.Millisecond
)

// Run is qmail-authd. Descriptor 0 is the socket where it is called, or with -0 the one
// connection; with -r descriptor 3 leads to who runs the program.
func Run(p *prog.Process) error {
	one, runs, dovecot := false, false, ""
	g := p.Getopt("0rd:")
	for g.Next() {
		switch g.Opt {
		case '0':
			one = true
		case 'r':
			runs = true
		case 'd':
			dovecot = g.Arg
		default:
			return errUsage
		}
	}
	if len(g.Rest) > 0 || runs && dovecot != "" {
		return errUsage
	}
	if err := privs.Undumpable(); err != nil {
		return err
	}
	sv := newServer(p, control.In(conf.Home))
	ended := make(chan error, 2)
	wall, err := sv.prepare(runs, dovecot, ended)
	if err != nil {
		return err
	}
	if err := sandbox.Around(wall)(p); err != nil {
		return err
	}
	go func() { ended <- sv.take(one) }()
	return <-ended
}

// prepare opens what checks passwords and returns the wall to be built around it. Who
// runs the program may end first.
func (sv *server) prepare(runs bool, dovecot string, ended chan<- error) (wall sandbox.Wall, err error) {
	wall = sandbox.Wall{Read: []string{string(sv.dir)}, Network: sandbox.Callers}
	switch {
	case runs:
		if sv.p.Extra[0] == nil {
			return wall, errors.New("descriptor 3 is no socket")
		}
		r, err := newRunning(sv, sv.p.Extra[0])
		if err != nil {
			return wall, err
		}
		go func() { ended <- r.hear() }()
		sv.backend = r
	case dovecot != "":
		sv.backend = newDovecot(sv.p, dovecot)
		wall.Network = sandbox.Local
	default:
		users, err := newMailusers(sv)
		if err != nil {
			return wall, err
		}
		sv.backend = users
		wall.Read = append(wall.Read, filepath.Dir(users.path))
	}
	return wall, nil
}

// take serves the connection that is descriptor 0, or everybody who calls there.
func (sv *server) take(one bool) error {
	if one {
		c, err := own(sv.p.Stdin)
		if err != nil {
			return prog.Fail("unable to use descriptor 0", err)
		}
		sv.connection(c, 0)
		return nil
	}
	listener, err := localsocket.Inherited(sv.p.Stdin)
	if err != nil {
		return prog.Fail("unable to use descriptor 0", err)
	}
	slots := make(chan struct{}, mostConnections)
	for {
		c, err := localsocket.Accept(listener)
		switch {
		case err == nil:
			sv.hear(c.File, slots)
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
			time.Sleep(breather)
		default:
			return prog.Fail("unable to accept", err)
		}
	}
}

// hear serves a connection, or hangs up on it where there are too many: who is told so at
// once can say so to his client.
func (sv *server) hear(c *os.File, slots chan struct{}) {
	select {
	case slots <- struct{}{}:
		go func() {
			defer func() { <-slots }()
			sv.connection(c, idle)
		}()
	default:
		sv.warn(errors.New("too many connections"))
		c.Close()
	}
}

// own returns a file for a descriptor that no other process reads from, which waits
// without a thread.
func own(f *os.File) (*os.File, error) {
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// server is what all connections have in common.
type server struct {
	p        *prog.Process
	dir      control.Dir
	backend  backend
	tries    *tries
	spending *spending

	mu     sync.Mutex
	warned string // what has been said last
	again  time.Time
}

func newServer(p *prog.Process, dir control.Dir) *server {
	return &server{p: p, dir: dir, tries: newTries(p.Now), spending: newSpending(p.Now, dir)}
}

// warn says on descriptor 2 what is wrong, once a minute if it goes on being wrong.
func (sv *server) warn(err error) {
	sv.mu.Lock()
	defer sv.mu.Unlock()
	text, now := err.Error(), sv.p.Now()
	if text == sv.warned && now.Before(sv.again) {
		return
	}
	sv.warned, sv.again = text, now.Add(time.Minute)
	fmt.Fprintf(sv.p.Stderr, "qmail-authd: warning: %s\n", text)
}
