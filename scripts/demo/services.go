package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"quail/internal/privs"
)

// patience is how long a process may take to end after it was asked to.
const patience = 10 * time.Second

// service is a process that is to run until it is stopped, and the group of all
// processes that it starts.
type service struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
}

// services are those started so far.
type services []*service

// start starts cmd with its log on the terminal. It leads a process group of its
// own, so that Ctrl-C in the terminal reaches nobody but this program.
func (all *services) start(name string, cmd *exec.Cmd) error {
	cmd.Stdout = os.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	s := &service{name, cmd, make(chan struct{})}
	*all = append(*all, s)
	go func() {
		cmd.Wait() // how it ended is in cmd.ProcessState
		close(s.ended)
	}()
	return nil
}

// orDead does something for as long as all services live.
func (all services) orDead(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, s := range all {
		go func() {
			select {
			case <-s.ended:
				cancel(fmt.Errorf("%s has ended: %v", s.name, s.cmd.ProcessState))
			case <-ctx.Done():
			}
		}()
	}
	err := do(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// stop ends the services, the last one first, with all that they started. SMTP
// sessions are cut; qmail-send may finish its deliveries.
func (all services) stop() {
	for i := len(all) - 1; i >= 0; i-- {
		all[i].stop()
	}
}

func (s *service) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM) // nothing happens if it has ended
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.cmd.Process.Kill()
		<-s.ended
	}
	// What it leaves behind gets a moment. Dead processes that nobody has waited for
	// are members still, so a group can outlive all its processes.
	group := -s.cmd.Process.Pid
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for i := 0; i < 25 && alive(group); i++ {
			syscall.Kill(group, sig)
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// alive reports whether a process group has a member.
func alive(group int) bool { return !errors.Is(syscall.Kill(group, 0), syscall.ESRCH) }

// tcpserver returns the command of the SMTP service. Names are not looked up: the
// demonstration does without DNS.
func (d *demo) tcpserver() (*exec.Cmd, error) {
	args := []string{"-v", "-R", "-H", "-l", host}
	if d.root {
		id, err := privs.Account("qmaild", "nofiles")
		if err != nil {
			return nil, err
		}
		args = append(args, "-u", strconv.Itoa(id.UID), "-g", strconv.Itoa(id.GID))
	}
	return d.command("tcpserver", append(args, "127.0.0.1", strconv.Itoa(d.port), "qmail-smtpd")...), nil
}
