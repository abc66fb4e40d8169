package grant

import (
	"golang.org/x/sys/unix"

	"quail/internal/prog"
	"quail/internal/relayctl"
)

// Modes of an entry. With a shared directory all write to it, each as somebody else; one
// that is found by its name belongs to who reads it.
const (
	sharedMode = 0o666
	ownMode    = 0o600
)

// Allow is the program relay-ctrl-allow. It leaves the next program without the
// descriptor of the directory: that one runs for a user.
func Allow(p *prog.Process) error {
	a := newProgram(p, true)
	name, ok := a.client()
	if !ok {
		return a.stranger()
	}
	if _, set := p.Env.Lookup("RELAY_CTRL_DIR"); !set {
		a.warn("$RELAY_CTRL_DIR is not set.")
	} else if a.authenticated() {
		a.record(name)
	}
	if len(p.Args) == 0 {
		return nil
	}
	return &prog.Become{Args: p.Args, Env: p.Env}
}

// record makes the entry.
func (p program) record(name string) {
	dir, shared, ok := p.enter()
	if !ok {
		return
	}
	mode := uint32(ownMode)
	if shared {
		mode = sharedMode
		unix.CloseOnExec(dir.FD())
	}
	if err := dir.Record(name, relayctl.Select(p.Env), mode, p.Now(), p.PID); err != nil {
		p.warn("%v", err)
	}
}
