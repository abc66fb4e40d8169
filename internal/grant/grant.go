// Package grant lets those send mail to anywhere who have read theirs: relay-ctrl's six
// programs. See spec "Network", part B.
//
// Who has logged in by POP or IMAP gets an entry in a directory (package relayctl), by
// Allow behind the login, or by Send there and Receive on another host. Check stands
// before the SMTP server and sets RELAYCLIENT for a client that has one. Age removes old
// entries, and Chdir opens the directory for all of them, as root: nobody else need be
// able to reach it by its name.
//
// A login never fails because of this, and a mail session goes on without a grant: what
// is wrong with the directory is told and no more.
//
// Differs from qmail: relay-ctrl has no IPv6, and a client whose address is one cannot log
// in; its check leaves the next program in its directory, and closes RELAY_CTRL_DIR_FD
// before it.
package grant

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"quail/internal/ascii"
	"quail/internal/prog"
	"quail/internal/relayctl"
)

// program is one of the six while it runs.
type program struct {
	*prog.Process
	prefix string // of what it says
}

// newProgram returns the program that p is. All but the two that run by themselves say
// which of many processes they are.
func newProgram(p *prog.Process, many bool) program {
	prefix := p.Name + ": "
	if many {
		prefix = fmt.Sprintf("%s[%d]: ", p.Name, p.PID)
	}
	if _, unwanted := p.Env.Lookup("MSG_NO_PROGRAM"); unwanted {
		prefix = ""
	}
	return program{p, prefix}
}

// say writes a line. What it holds of others' words cannot end it.
func (p program) say(format string, args ...any) {
	fmt.Fprintf(p.Stderr, "%s%s\n", p.prefix, ascii.Printable(fmt.Sprintf(format, args...), '?'))
}

func (p program) warn(format string, args ...any) { p.say("Warning: "+format, args...) }

// fatal says why the program ends, and ends it.
func (p program) fatal(status int, format string, args ...any) error {
	p.say("Fatal: "+format, args...)
	return prog.Exit(status)
}

// setting returns a number from the environment, or what it is without one that is
// above 0.
func (p program) setting(name string, otherwise int) int {
	if n, ok := prog.Number(strings.TrimSpace(p.Env.Get(name))); ok && n > 0 {
		return n
	}
	return otherwise
}

// expiry returns how long a login counts.
func (p program) expiry() time.Duration {
	return time.Duration(p.setting("RELAY_CTRL_EXPIRY", 900)) * time.Second
}

// enter returns the directory: the one that Chdir has opened, which shared reports, or
// else the one that is named. Having none is told.
func (p program) enter() (dir relayctl.Dir, shared, ok bool) {
	if text, opened := p.Env.Lookup("RELAY_CTRL_DIR_FD"); opened {
		fd, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			p.warn("Invalid value for $RELAY_CTRL_DIR_FD")
			return dir, false, false
		}
		dir = relayctl.Descriptor(int(fd))
		if err := dir.Check(); err != nil {
			p.warn("Could not chdir to FD %d: %s", fd, relayctl.Reason(err))
			return dir, false, false
		}
		return dir, true, true
	}
	path := p.Path(p.Env.Get("RELAY_CTRL_DIR"))
	if path == "" {
		p.warn("$RELAY_CTRL_DIR is not set")
		return dir, false, false
	}
	dir = relayctl.At(path)
	if err := dir.Check(); err != nil {
		p.warn("Could not change directory to '%s': %s", path, relayctl.Reason(err))
		return dir, false, false
	}
	return dir, false, true
}

// client returns the address of whoever is logged in.
func (p program) client() (name string, ok bool) {
	return relayctl.Name(p.Env.Get("TCPREMOTEIP"))
}

// stranger ends a program that does not know whose login it is called for.
func (p program) stranger() error {
	return p.fatal(prog.StatusTemporary, "Must be run from tcp-env or tcpserver.")
}

// authenticated reports whether there has been a login. Courier runs its modules before
// that too, and tells.
func (p program) authenticated() bool {
	_, user := p.Env.Lookup("AUTHUSER")
	_, argv := p.Env.Lookup("AUTHARGV0")
	return !user || !argv || p.Env.Get("AUTHENTICATED") != ""
}
