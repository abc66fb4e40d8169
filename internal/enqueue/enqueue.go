// Package enqueue is qmail-queue: what stands between any local user and package
// queue. See spec "The queue", section 6.
//
// It runs set-uid. Arguments, environment, descriptors, limits and signals are a
// stranger's, as are both things that it reads; neither is parsed here.
//
// Where it is not qmailq all the same, because the host allows no set-uid programs or
// the administrator has taken the bit away, it has the rights of its caller and passes
// the message on to qmail-queued.
//
// Differs from qmail: where descriptor 0 is closed the message is empty, as from
// /dev/null, which is what the Go runtime puts there: so do all programs of the
// suite. qmail-queue would exit with 54.
package enqueue

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"quail/internal/conf"
	"quail/internal/envelope"
	"quail/internal/privs"
	"quail/internal/prog"
	"quail/internal/queue"
	"quail/internal/received"
	"quail/internal/sandbox"
)

// spareThreads is what waiting for the disk takes.
const spareThreads = 3

// Run puts one message into the queue.
func Run(p *prog.Process) (err error) {
	defer func() {
		if recover() != nil {
			err = prog.Exit(envelope.StatusBug)
		}
	}()
	// 1. What the caller may do to us: not with these signals, and not for ever.
	//    At the deadline nothing is removed, since it could be half acknowledged.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGVTALRM,
		syscall.SIGPROF, syscall.SIGXCPU, syscall.SIGXFSZ)
	time.AfterFunc(queue.Death, func() { os.Exit(envelope.StatusTimeout) })
	exitOn(envelope.StatusTimeout, syscall.SIGALRM)
	exitOn(envelope.StatusBug, syscall.SIGILL, syscall.SIGABRT, syscall.SIGFPE, syscall.SIGBUS, syscall.SIGSEGV, syscall.SIGSYS)
	prog.Threads(spareThreads)
	// 2. The environment is nobody's: nothing below may be steered by it.
	os.Clearenv()
	// 3. Home and queue must be there before anything is tried in them; whoever is not
	//    qmailq cannot even look.
	dir := queue.In(conf.Home)
	if _, err := os.Stat(conf.Home + "/."); err != nil {
		return prog.Exit(envelope.StatusHome)
	}
	own, err := isOwner()
	if err != nil {
		return err
	}
	if !own {
		return prog.Exit(relay(p))
	}
	if _, err := os.Stat(string(dir) + "/."); err != nil {
		return prog.Exit(envelope.StatusQueue)
	}
	// 4. Who asks, by the real uid.
	who, err := invoker(p.UID)
	if err != nil {
		return err
	}
	now := p.Now()
	_, err = dir.Enter(queue.Submission{
		PID: p.PID, UID: p.UID, Start: now,
		Received: received.Queue(p.PID, who, now),
		Message:  p.Stdin, Envelope: p.Stdout,
	})
	var status *queue.StatusError
	if errors.As(err, &status) {
		return prog.Exit(status.Status)
	}
	return err
}

// isOwner reports whether we can write to the queue, being its owner.
func isOwner() (bool, error) {
	uid, err := privs.User(conf.UserQueue)
	return uid == os.Geteuid(), err
}

// Wall is the wall around qmail-queue: the queue for its owner, a call to qmail-queued
// for everybody else.
func Wall(p *prog.Process) error {
	own, err := isOwner()
	if err != nil {
		return err
	}
	w := sandbox.Wall{Read: []string{"/etc/passwd"}, Network: sandbox.Syslog}
	if own {
		dir := queue.In(conf.Home)
		w.Network = sandbox.None
		w.Write = []string{dir.Path("pid"), dir.Path("mess"), dir.Path("intd"), dir.Path("todo"), dir.Path("lock")}
	}
	return sandbox.Around(w)(p)
}

// exitOn ends the program with status on any of signals, as the deadline does.
func exitOn(status int, signals ...os.Signal) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, signals...)
	go func() {
		<-c
		os.Exit(status)
	}()
}

// invoker says in the trace line's words who the caller is.
func invoker(uid int) (string, error) {
	for _, who := range []struct{ user, words string }{
		{conf.UserAlias, received.ByAlias},
		{conf.UserDaemon, received.FromNetwork},
		{conf.UserSend, received.ForBounce},
	} {
		id, err := privs.User(who.user)
		if err != nil {
			return "", err
		}
		if id == uid {
			return who.words, nil
		}
	}
	return received.ByUID(uid), nil
}
