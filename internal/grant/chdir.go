package grant

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"quail/internal/prog"
	"quail/internal/relayctl"
)

// highest is the number above which no descriptor is looked for. Programs that close what
// they have not opened begin at the other end; but a table of descriptors takes memory up
// to the largest one, in each process that follows.
const highest = 1023

// Chdir is the program relay-ctrl-chdir.
func Chdir(p *prog.Process) error {
	c := newProgram(p, true)
	if len(p.Args) == 0 {
		return c.fatal(1, "usage: relay-ctrl-chdir program [ arg ... ]")
	}
	path := p.Path(p.Env.Get("RELAY_CTRL_DIR"))
	if path == "" {
		return c.fatal(prog.StatusTemporary, "$RELAY_CTRL_DIR is not set.")
	}
	dir, err := relayctl.Open(path)
	if errors.Is(err, unix.ENOTDIR) {
		return c.fatal(prog.StatusTemporary, "'%s' is not a directory", path)
	}
	if err != nil {
		return c.fatal(prog.StatusTemporary, "Could not open dir '%s': %s", path, relayctl.Reason(err))
	}
	fd, err := raise(dir.FD())
	if err != nil {
		return c.fatal(prog.StatusTemporary, "Could not move descriptor %d: %s", dir.FD(), relayctl.Reason(err))
	}
	return &prog.Become{Args: p.Args, Env: p.Env.With("RELAY_CTRL_DIR_FD", strconv.Itoa(fd))}
}

// raise returns a copy of a descriptor with the highest number that is free. Programs that
// are run inherit it.
func raise(fd int) (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	var err error
	for at := int(min(uint64(limit.Cur), highest+1)) - 1; at > fd; at-- {
		// The lowest free one from there on: if it is not free, that is above highest.
		var copied int
		if copied, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD, at); err == nil && copied == at {
			return at, nil
		}
		if err == nil {
			unix.Close(copied)
		}
	}
	if err == nil {
		err = unix.EMFILE
	}
	return 0, err
}
