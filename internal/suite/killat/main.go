//go:build linux && (amd64 || arm64)

// Command killat runs a program and kills it before one of the changes that it makes
// to files or tells others. It is how a test visits every state in which a program
// can die.
//
//	killat NUMBER PROGRAM [ARG ...]
//
// Changes are counted from 1: making, linking, renaming, truncating and removing
// files, giving them owners, modes and times, writing and syncing them, writing to pipes, and exiting. Descriptors 0 and 2
// do not count. Only PROGRAM is watched, with all its threads and whatever it becomes
// by exec, not the programs that it starts.
//
// # Exit status
//
// 137 if PROGRAM was killed, 111 if it cannot be run, else its own.
//
// # Security
//
// None is meant: only a test runs it. As root it may watch set-uid programs.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	runtime.LockOSThread() // the kernel knows the watcher by its thread
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: killat number program [ arg ... ]"))
	}
	number, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fail(err)
	}
	child, err := os.StartProcess(os.Args[2], os.Args[2:], &os.ProcAttr{
		Env:   os.Environ(),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &unix.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		fail(err)
	}
	w := &watcher{pid: child.Pid, number: number, inside: map[int]bool{}}
	status, err := w.watch()
	if err != nil {
		fail(err)
	}
	os.Exit(status)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "killat:", err)
	os.Exit(111)
}

// watcher counts the changes of one process.
type watcher struct {
	pid    int
	number int // the change that is not to happen
	count  int
	inside map[int]bool // threads known, and whether they are in a system call
}

// options: stops at system calls can be told from signals; new threads and what is
// executed are watched too; nothing outlives its watcher.
const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL

// watch lets the program run to its end and returns the exit status that a shell
// would give.
func (w *watcher) watch() (int, error) {
	thread, ws, err := wait() // for the stop before its first instruction
	if err != nil {
		return 0, err
	}
	if err := unix.PtraceSetOptions(w.pid, options); err != nil {
		return 0, err
	}
	w.inside[w.pid] = false
	stopped, signal := true, 0
	for {
		// A thread that has been killed meanwhile is no error: its end comes next.
		if stopped {
			if err := unix.PtraceSyscall(thread, signal); err != nil && err != unix.ESRCH {
				return 0, err
			}
		}
		if thread, ws, err = wait(); err != nil {
			return 0, err
		}
		stopped = ws.Stopped()
		switch {
		case stopped:
			signal = w.stopped(thread, ws)
		case thread != w.pid:
			delete(w.inside, thread)
		case ws.Signaled():
			return 128 + int(ws.Signal()), nil
		default:
			return ws.ExitStatus(), nil
		}
	}
}

// wait waits for the next event of any thread.
func wait() (thread int, ws unix.WaitStatus, err error) {
	for {
		if thread, err = unix.Wait4(-1, &ws, unix.WALL, nil); err != unix.EINTR {
			return thread, ws, err
		}
	}
}

// stopped looks at why a thread has stopped and returns the signal that it is to go
// on with.
func (w *watcher) stopped(thread int, ws unix.WaitStatus) (signal int) {
	inside, known := w.inside[thread]
	switch sig := ws.StopSignal(); {
	case sig == unix.SIGTRAP|0x80:
		w.inside[thread] = !inside
		if !inside && w.isChange(thread) {
			if w.count++; w.count == w.number {
				unix.Kill(w.pid, unix.SIGKILL)
			}
		}
	case sig == unix.SIGTRAP && ws.TrapCause() == unix.PTRACE_EVENT_EXEC:
		// All threads but the first are gone, and that one is in the exec.
		w.inside = map[int]bool{w.pid: true}
	case sig == unix.SIGTRAP && ws.TrapCause() > 0:
	case sig == unix.SIGSTOP && !known: // the birth of a thread
		w.inside[thread] = false
	default:
		return int(sig)
	}
	return 0
}

// isChange reports whether the system call that a thread is about to make is one
// that counts.
func (w *watcher) isChange(thread int) bool {
	number, args, err := registers(thread)
	if err != nil {
		return false
	}
	switch number {
	case unix.SYS_OPENAT:
		return args[2]&unix.O_CREAT != 0
	case unix.SYS_WRITE, unix.SYS_PWRITE64:
		return args[0] != 0 && args[0] != 2 && w.isOthers(int(args[0]))
	case unix.SYS_LINKAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_FTRUNCATE,
		unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_FCHOWN, unix.SYS_FCHMOD, unix.SYS_UTIMENSAT, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_EXIT_GROUP:
		return true
	}
	return false
}

// isOthers reports whether others can see what is written to a descriptor. The
// runtime wakes its own threads by one that they cannot; where we may not look, as at
// a program that may be run and not read, that counts too.
func (w *watcher) isOthers(fd int) bool {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", w.pid, fd))
	return err != nil || !strings.HasPrefix(path, "anon_inode:")
}
