// Command qmail-queue puts a message into the queue.
//
//	qmail-queue <MESSAGE 1<ENVELOPE
//
// It reads a message from descriptor 0 and, from descriptor 1, an envelope: F and
// the sender, T and each recipient, every one ended by a NUL, then one more NUL.
// When it exits with 0 the message is on disk and will be delivered.
//
// # Exit status
//
// 0 queued; 11 address too long; 52 not done within 24 hours; 53 write error or
// disk full; 54 message or envelope ended early; 61 to 66 trouble with the home,
// the queue, pid, mess, intd or todo; 81 internal bug; 91 bad envelope; 111 the
// suite's accounts are missing. 11 to 40 mean that trying again is useless.
//
// # Security
//
// Set-uid qmailq: arguments, environment, descriptors, limits and signals are a
// stranger's. It ignores the first two, runs nothing, and opens nothing outside
// HOME/queue but the password file.
package main

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
)

// The mask is set here, since the caller's must not decide who can read a message:
// qmail-send and the spawners do, by group or as anybody.
func main() { prog.Main("qmail-queue", run, prog.Umask(0o33)) }

func run(p *prog.Process) (err error) {
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
	// 2. The environment is nobody's: nothing below may be steered by it.
	os.Clearenv()
	// 3. Home and queue must be there before anything is tried in them.
	dir := queue.In(conf.Home)
	if _, err := os.Stat(conf.Home + "/."); err != nil {
		return prog.Exit(envelope.StatusHome)
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
