// Package keys is qmail-keys, the half that is root: it reads the files that certificates
// and their private keys are in, which nobody else can read, and hands what is in them to
// qmail-keysd, which answers at HOME/auth/keys. Package keywire owns the bytes.
//
// It looks at nothing that it reads: what the files mean is found out by qmail-keysd,
// which is another user's and has a wall around it. It knows no network; and it hears
// nothing of qmail-keysd but that it has ended, and runs it again then.
//
// The files are those that control/tlscerts names, one entry a line, an absolute path or
// one below HOME/control: a file with certificate and key, a certificate with its key
// beside it (NAME.crt, NAME.key), or a directory with fullchain.pem and privkey.pem.
// Without tlscerts it is control/servercert.pem, if that is there.
//
// The enemy is whoever may write in one of the directories on the way to such a file. He
// can have another file read, of which nothing gets out but that it is no certificate.
package keys

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/keywire"
	"quail/internal/localsocket"
	"quail/internal/privs"
	"quail/internal/proc"
	"quail/internal/prog"
)

const (
	// pollTime is how often the files are looked at. A change counts when nothing has
	// changed since the look before, so that no pair of files is taken apart.
	pollTime = 2 * time.Second
	// handTime is how long qmail-keysd may take to take a set.
	handTime = 30 * time.Second

	firstPause   = 100 * time.Millisecond // before qmail-keysd is run again
	longestPause = 10 * time.Second
	goneAfter    = time.Second // a pause in which nobody is to wait for us
)

// supervisor is the program.
type supervisor struct {
	p       *prog.Process
	path    string // of the socket
	as      privs.Identity
	orders  chan os.Signal
	files   *files
	socket  *os.File
	name    os.FileInfo // what path named when the socket was made
	stopped bool
}

// Run is the program qmail-keys.
func Run(p *prog.Process) error {
	if len(p.Args) > 0 {
		return prog.Usage("qmail-keys")
	}
	as, err := privs.Account(conf.UserPasswd, conf.GroupNofiles)
	if err != nil {
		return err
	}
	// No key is left in a file if one of the halves dies.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return prog.Fail("unable to limit core files", err)
	}
	s := &supervisor{p: p, path: conf.Home + "/" + keywire.Path, as: as,
		orders: make(chan os.Signal, 4), files: &files{p: p, control: control.In(conf.Home)}}
	signal.Notify(s.orders, syscall.SIGTERM, syscall.SIGHUP)
	lock, err := s.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	defer s.takeAway()
	return s.run()
}

// lock sees to it that no other qmail-keys has this home, for as long as the file is open.
func (s *supervisor) lock() (*os.File, error) {
	name := s.path + ".lock"
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, prog.Fail("unable to open "+name, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, prog.Fail("unable to lock "+name+": another qmail-keys may run", err)
	}
	return f, nil
}

// run has the socket served until we are told to stop.
func (s *supervisor) run() error {
	pause := firstPause
	for !s.stopped {
		if s.socket == nil {
			if err := s.listen(); err != nil {
				return err
			}
		}
		began := s.p.Now()
		if err := s.runOnce(); err != nil && !s.stopped {
			fmt.Fprintf(s.p.Stderr, "qmail-keys: warning: %v, starting again\n", err)
		}
		if s.p.Now().Sub(began) > longestPause {
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

// listen makes the socket, which members of the group can reach.
func (s *supervisor) listen() (err error) {
	if s.socket, err = localsocket.Listen(s.path, 0o660); err != nil {
		return prog.Fail("unable to listen at "+s.path, err)
	}
	if err = os.Lchown(s.path, -1, s.as.GID); err != nil {
		return prog.Fail("unable to change the group of "+s.path, err)
	}
	s.name, err = os.Lstat(s.path)
	return err
}

// runOnce runs qmail-keysd and hands it what changes, until it ends.
func (s *supervisor) runOnce() error {
	take, hand, err := os.Pipe()
	if err != nil {
		return prog.Fail("unable to create pipe", err)
	}
	defer hand.Close()
	child, err := proc.Command{
		Args: []string{conf.Home + "/bin/qmail-keysd"}, Env: s.p.Env, Dir: "/", As: &s.as,
		Stdin: s.socket, Stderr: s.p.Stderr, Extra: []*os.File{take},
	}.Start()
	take.Close()
	if err != nil {
		return prog.Fail("unable to run qmail-keysd", err)
	}
	ended := make(chan error, 1)
	go func() {
		status, err := child.Wait()
		if err == nil {
			err = fmt.Errorf("qmail-keysd ended with %d", status.Raw())
		}
		ended <- err
	}()
	look := time.NewTicker(pollTime)
	defer look.Stop()
	set := s.files.read()
	if set == nil {
		set = keywire.AppendEntries(nil, nil) // it waits for one
	}
	for ; ; set = s.files.changed() {
		if set != nil {
			hand.SetWriteDeadline(s.p.Now().Add(handTime))
			if _, err := hand.Write(set); err != nil {
				child.Signal(syscall.SIGKILL)
				return <-ended
			}
		}
		select {
		case err := <-ended:
			return err
		case <-look.C:
		case order := <-s.orders:
			if order == syscall.SIGHUP {
				s.files.forget()
				continue
			}
			// The end of the pipe is the end of qmail-keysd.
			s.stopped = true
			s.takeAway()
			hand.Close()
			return <-ended
		}
	}
}

// rest does nothing for a while, unless there is no more to be done.
func (s *supervisor) rest(pause time.Duration) {
	for over := time.After(pause); !s.stopped; {
		select {
		case <-over:
			return
		case order := <-s.orders:
			s.stopped = order == syscall.SIGTERM
		}
	}
}

// takeAway removes the socket, so that nobody calls any more; but not another's, where
// the home was put away and made anew.
func (s *supervisor) takeAway() {
	if s.socket != nil {
		if there, err := os.Lstat(s.path); err == nil && s.name != nil && os.SameFile(there, s.name) {
			os.Remove(s.path)
		}
		s.socket.Close()
		s.socket = nil
	}
}
