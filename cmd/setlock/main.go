// Command setlock runs a program while a file is locked.
//
//	setlock [ -nNxX ] FILE PROGRAM [ ARG ... ]
//
// It opens FILE, which is made with mode 0600 if need be, locks it with flock, and becomes
// PROGRAM, with the lock on a descriptor that stays open: the lock is held until PROGRAM
// and all that it starts have closed it or ended.
//
//	-n, -N  if somebody else has the lock give up, or wait (default)
//	-x, -X  where there is no lock to be had, exit silently with 0, or say why (default)
//
// # Exit status
//
// That of PROGRAM; 100 for wrong usage; 111, or 0 with -x, if FILE cannot be opened or
// locked; 111 if PROGRAM cannot be run.
//
// # Security
//
// Runs as the caller, on the caller's arguments.
package main

import (
	"syscall"

	"golang.org/x/sys/unix"

	"quail/internal/prog"
)

func main() { prog.Main("setlock", run) }

func run(p *prog.Process) error {
	how, quiet := unix.LOCK_EX, false
	g := p.Getopt("nNxX")
	for g.Next() {
		switch g.Opt {
		case 'n':
			how = unix.LOCK_EX | unix.LOCK_NB
		case 'N':
			how = unix.LOCK_EX
		case 'x', 'X':
			quiet = g.Opt == 'x'
		default:
			g.Rest = nil
		}
	}
	if len(g.Rest) < 2 {
		return prog.Usage("setlock [ -nNxX ] file program [ arg ... ]")
	}
	failed, err := lock(p.Path(g.Rest[0]), how)
	switch {
	case err != nil && quiet:
		return nil
	case err != nil:
		return prog.Fail("unable to "+failed+" "+g.Rest[0], err)
	}
	return &prog.Become{Args: g.Rest[1:], Env: p.Env}
}

// lock opens and locks a file, on a descriptor that the next program has too.
func lock(name string, how int) (failed string, err error) {
	const mode = unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_NONBLOCK // what is no file is no reason to wait
	fd, err := unix.Open(name, mode, 0o600)
	if err != nil {
		return "open", err
	}
	for {
		if err = unix.Flock(fd, how); err != syscall.EINTR {
			return "lock", err
		}
	}
}
