// Package queued is qmail-queued: what stands between any local user and package
// queue, for callers who would not start qmail-queue for each message. Package
// submission owns the bytes.
//
// What a caller gets is what qmail-queue would have given it: the same files in the
// queue, the same statuses, the same 24 hours. It knows nothing of its callers but
// their effective uid, from the kernel; so those whose real one differs run
// qmail-queue. The uid counts where qmail-queue takes the real one.
//
// There are two processes. The one that qmail-start starts makes the socket and runs
// the other, "qmail-queued serve", which takes messages from behind a wall, and runs
// it again when it dies. One process alone could have no such wall and come back: who
// can start a program is not walled, and who is not there cannot start anything.
// qmail-send cannot do it either, which may be qmail's own and knows nothing of this
// program. Messages in hand when the second process dies are temporary failures of
// their senders.
package queued

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"quail/internal/conf"
	"quail/internal/localsocket"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/sandbox"
	"quail/internal/submission"
)

// serveArg is the argument that makes the process serve a socket that it is given as
// descriptor 0.
const serveArg = "serve"

// Run is qmail-queued, either half.
func Run(p *prog.Process) error {
	run, args := supervise, p.Args
	if len(args) > 0 && args[0] == serveArg {
		run, args = serve, args[1:]
	}
	// Who starts us says who he is: he may be gone by now, and somebody else our parent.
	parent := os.Getppid()
	if len(args) == 1 {
		var err error
		if parent, err = strconv.Atoi(args[0]); err != nil {
			return prog.Usage("qmail-queued [ parent ]")
		}
	} else if len(args) > 1 {
		return prog.Usage("qmail-queued [ parent ]")
	}
	return run(p, orphaned(parent))
}

// How long the supervisor pauses before it starts the other half again: at first, at
// most, and when it takes the socket away meanwhile, so that callers run qmail-queue
// and do not wait for somebody who may never come.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
	goneAfter    = time.Second
)

// supervisor is the half that stays.
type supervisor struct {
	p       *prog.Process
	path    string // of the socket
	socket  *os.File
	name    os.FileInfo // what path named when the socket was made
	orders  chan os.Signal
	orphan  <-chan struct{} // closed when our parent has gone
	stopped bool
}

// supervise makes the socket and has it served.
func supervise(p *prog.Process, orphan <-chan struct{}) error {
	s := &supervisor{p: p, path: conf.Home + "/" + submission.Path, orders: make(chan os.Signal, 4), orphan: orphan}
	signal.Notify(s.orders, syscall.SIGTERM, syscall.SIGUSR1)
	// Not for us alone: who ends qmail-send from a terminal ends us by that, in order.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
	// No set-uid program is ever run from here.
	if err := sandbox.NoNewPrivileges()(p); err != nil {
		return err
	}
	lock, err := s.lock()
	if err != nil || s.stopped {
		return err
	}
	defer func() { s.takeAway(); lock.Close() }()
	pause := firstPause
	for !s.stopped {
		if s.socket == nil {
			if s.socket, err = localsocket.Listen(s.path, 0o666); err != nil {
				return prog.Fail("unable to listen at "+s.path, err)
			}
			s.name, _ = os.Lstat(s.path)
		}
		began := p.Now()
		if err := s.runOnce(lock); err != nil && !s.stopped {
			fmt.Fprintf(p.Stderr, "qmail-queued: warning: %v, starting again\n", err)
		}
		if p.Now().Sub(began) > longestPause {
			pause = firstPause
		}
		if pause >= goneAfter {
			s.takeAway()
		}
		s.rest(pause)
		pause = min(2*pause, longestPause)
	}
	return nil
}

// lock waits until no other qmail-queued has this home. The lock lives as long as the
// file is open.
func (s *supervisor) lock() (*os.File, error) {
	name := s.path + ".lock"
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, prog.Fail("unable to open "+name, err)
	}
	for !s.stopped {
		err := tryLock(f)
		if err == nil {
			break
		}
		if err != errBusy {
			f.Close()
			return nil, prog.Fail("unable to lock "+name, err)
		}
		s.rest(firstPause)
	}
	return f, nil
}

// runOnce runs the other half until it ends. It is told to end when we are.
func (s *supervisor) runOnce(lock *os.File) error {
	child, err := proc.Command{
		Args: []string{conf.Home + "/bin/qmail-queued", serveArg, strconv.Itoa(s.p.PID)}, Env: s.p.Env, Dir: "/",
		Stdin: s.socket, Stdout: s.p.Stdout, Stderr: s.p.Stderr,
	}.Start()
	if err != nil {
		return prog.Fail("unable to run qmail-queued", err)
	}
	ended := make(chan error, 1)
	go func() {
		status, err := child.Wait()
		if err == nil && !status.OK() {
			err = fmt.Errorf("qmail-queued serve ended with %d", status.Raw())
		}
		ended <- err
	}()
	for {
		select {
		case err := <-ended:
			return err
		case order := <-s.orders:
			if order == syscall.SIGUSR1 {
				child.Signal(syscall.SIGUSR1)
				continue
			}
		case <-s.orphan:
			s.orphan = nil
		}
		// From now on the home may be another's. Who has called already is served.
		s.stopped = true
		s.takeAway()
		lock.Close()
		child.Signal(syscall.SIGTERM)
	}
}

// rest does nothing for a while, unless there is no more to be done.
func (s *supervisor) rest(pause time.Duration) {
	if s.stopped {
		return
	}
	select {
	case <-time.After(pause):
	case order := <-s.orders:
		s.stopped = order == syscall.SIGTERM
	case <-s.orphan:
		s.stopped = true
	}
}

// takeAway removes the socket, so that nobody calls any more; but not another's, where
// the home was put away and made anew.
func (s *supervisor) takeAway() {
	if s.socket != nil {
		if there, err := os.Lstat(s.path); err == nil && os.SameFile(there, s.name) {
			os.Remove(s.path)
		}
		s.socket.Close()
		s.socket = nil
	}
}
