// Package proc runs other programs and says how they ended.
//
// It is the only package that places descriptors by number in a child. Of ours a
// child has none that its Command does not name; those that our own caller left
// open pass through, as in any chain of programs.
package proc

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/entry"
	"quail/internal/limits"
	"quail/internal/privs"
	"quail/internal/prog"
)

// Command is a program to be run, with all that it will see.
type Command struct {
	Args []string // Args[0] is looked up as execvp does, in Env's PATH
	Env  prog.Env
	// Search, if not nil, is the environment whose PATH counts instead of Env's.
	Search prog.Env
	Dir    string // working directory, absolute
	// Here says that Dir is the working directory of this process already. The child
	// then inherits it, and need not have the right to reach it by its name.
	Here bool
	// Descriptors 0, 1 and 2, and from 3 on. A nil one is closed in the child.
	Stdin, Stdout, Stderr Descriptor
	Extra                 []*os.File
	As                    *privs.Identity // nil: as this process
	// Apart has the program lead a process group, for Child.Kill.
	Apart bool
}

// Descriptor is what a program gets as one of its descriptors: an *os.File, perhaps nil,
// or anything else that has a number.
type Descriptor interface{ Fd() uintptr }

// Number returns the number of a descriptor without changing its mode, or -1 if there is
// none.
func Number(d Descriptor) (n int) {
	switch f := d.(type) {
	case nil:
		return -1
	case *os.File:
		raw, err := f.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { n = int(fd) })
		}
		if err != nil {
			return -1
		}
		return n
	}
	return int(d.Fd())
}

// files returns descriptors as package os wants them, and those of them that are not
// files yet as copies, to be closed by the caller.
func files(all ...Descriptor) (files, copies []*os.File, err error) {
	for _, d := range all {
		f, is := d.(*os.File)
		if d != nil && !is {
			fd, err := unix.FcntlInt(d.Fd(), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return nil, copies, os.NewSyscallError("fcntl", err)
			}
			f = os.NewFile(uintptr(fd), "descriptor of a program")
			copies = append(copies, f)
		}
		files = append(files, f)
	}
	return files, copies, nil
}

// Child is a running program.
type Child struct {
	PID     int
	process *os.Process
}

// Start starts the program. If that fails, errors.Is tells the system error, and
// nothing has been run.
func (c Command) Start() (*Child, error) {
	standard, copies, err := files(c.Stdin, c.Stdout, c.Stderr)
	for _, f := range copies {
		defer f.Close()
	}
	if err != nil {
		return nil, err
	}
	attr := &os.ProcAttr{
		Files: append(standard, c.Extra...),
		Sys:   &syscall.SysProcAttr{Setpgid: c.Apart},
	}
	if !c.Here {
		attr.Dir = c.Dir
	}
	if c.As != nil {
		credential, err := c.As.Credential()
		if err != nil {
			return nil, err
		}
		attr.Sys.Credential = credential
	}
	err = &os.PathError{Op: "run", Path: c.Args[0], Err: syscall.ENOENT}
	search := c.Search
	if search == nil {
		search = c.Env
	}
	paths := prog.Candidates(c.Args[0], search, c.Dir)
	for i, path := range paths {
		// A fork is a high price for learning that a file is not there. But what another
		// user may name is not for us to look at.
		if c.As == nil && absent(path) {
			continue
		}
		program, args, env := limits.Child(c.Dir, paths[i:], c.Args, c.Env)
		attr.Env = append([]string{}, env...) // nil would stand for ours
		punctual := entry.Punctual()
		process, failed := os.StartProcess(program, args, attr)
		punctual()
		if failed == nil {
			return &Child{PID: process.Pid, process: process}, nil
		}
		err = prog.Telling(err, failed)
		if !prog.KeepSearching(failed) {
			break
		}
	}
	return nil, err
}

// absent reports whether there certainly is no file path. Of a relative one, which
// is meant from the working directory of the child, nothing is certain.
func absent(path string) bool {
	var st syscall.Stat_t
	return filepath.IsAbs(path) && syscall.Stat(path, &st) == syscall.ENOENT
}

// Wait waits for the program to end. It must be called once.
func (c *Child) Wait() (Status, error) {
	await(c.process)
	state, err := c.process.Wait()
	if err != nil {
		return Status{}, err
	}
	ws, ok := state.Sys().(syscall.WaitStatus)
	if !ok {
		return Status{}, errors.New("wait: no status")
	}
	return Status{ws}, nil
}

// Signal sends a signal to the program, which may have ended already.
func (c *Child) Signal(s syscall.Signal) error { return c.process.Signal(s) }

// Kill ends a program that was started Apart, and with it what it has started and not put
// into another group. It does nothing once Wait has seen the program end.
func (c *Child) Kill() error {
	if err := c.process.Signal(syscall.Signal(0)); err != nil {
		return err // the number may be another's by now
	}
	return syscall.Kill(-c.PID, syscall.SIGKILL)
}

// Run starts the program and waits for it.
func (c Command) Run() (Status, error) {
	child, err := c.Start()
	if err != nil {
		return Status{}, err
	}
	return child.Wait()
}

// Status is how a program ended, as wait reports it.
type Status struct{ raw syscall.WaitStatus }

// Raw returns the number that wait gives: exit code times 256, or the signal.
func (s Status) Raw() int { return int(s.raw) }

// Crashed reports whether a signal ended the program.
func (s Status) Crashed() bool { return !s.raw.Exited() }

// Code returns the exit code of a program that was not ended by a signal.
func (s Status) Code() int { return s.raw.ExitStatus() }

// OK reports whether the program exited with 0.
func (s Status) OK() bool { return s.raw.Exited() && s.raw.ExitStatus() == 0 }

// StatusOf returns the status with that raw value.
func StatusOf(raw int) Status { return Status{syscall.WaitStatus(raw)} }
