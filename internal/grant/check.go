package grant

import (
	"errors"
	"io/fs"
	"strings"

	"quail/internal/prog"
	"quail/internal/relayctl"
)

// Check is the program relay-ctrl-check. The descriptor of the directory stays open and
// the working directory what it is: where the program is warm both belong to all jobs.
func Check(p *prog.Process) error {
	c := newProgram(p, true)
	if len(p.Args) == 0 {
		return c.fatal(1, "usage: relay-ctrl-check program [ arg ... ]")
	}
	return &prog.Become{Args: p.Args, Env: c.check()}
}

// check returns the environment of the next program.
func (p program) check() prog.Env {
	_, talk := p.Env.Lookup("RELAY_CTRL_LOG_IPS")
	inform := func(format string, args ...any) {
		if talk {
			p.say(format, args...)
		}
	}
	if _, already := p.Env.Lookup("RELAYCLIENT"); already {
		inform("$RELAYCLIENT already set, not checking IP")
		return p.Env
	}
	if _, known := p.Env.Lookup("TCPREMOTEIP"); !known {
		p.warn("$TCPREMOTEIP not set, not checking IP")
		return p.Env
	}
	name, ok := p.client()
	if !ok {
		p.warn("$TCPREMOTEIP is not an IP address, not checking IP")
		return p.Env
	}
	dir, _, ok := p.enter()
	if !ok {
		return p.Env
	}
	now := p.Now()
	entry, err := dir.Find(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		inform("IP %s not found", name)
	case err != nil:
		p.warn("Could not open IP file '%s': %s", name, relayctl.Reason(err))
	case entry.Expired(now, p.expiry()):
		inform("Expired IP %s found, removing", name)
		if err := dir.Expire(name, now, p.expiry(), p.PID); err != nil && !errors.Is(err, fs.ErrNotExist) {
			inform("Could not remove '%s': %s", name, relayctl.Reason(err))
		}
	default:
		inform("IP %s found, setting $RELAYCLIENT", name)
		return p.granted(entry)
	}
	return p.Env
}

// granted returns the environment of a client that may send to anywhere.
func (p program) granted(entry relayctl.Entry) prog.Env {
	env := p.Env.With("RELAYCLIENT", p.Env.Get("RELAY_CTRL_RELAYCLIENT"))
	_, talk := p.Env.Lookup("RELAY_CTRL_LOG_ENV")
	for _, setting := range entry.Settings {
		if talk {
			p.say("Setting %s", setting)
		}
		name, value, _ := strings.Cut(setting, "=")
		env = env.With(name, value)
	}
	return env
}
