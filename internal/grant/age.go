package grant

import (
	"quail/internal/prog"
	"quail/internal/relayctl"
)

// Age is the program relay-ctrl-age.
func Age(p *prog.Process) error {
	a := newProgram(p, false)
	path := p.Path(p.Env.Get("RELAY_CTRL_DIR"))
	if path == "" {
		return a.fatal(1, "$RELAY_CTRL_DIR is not set.")
	}
	dir, err := relayctl.Open(path)
	if err != nil {
		return a.fatal(1, "Could not open directory '%s': %s", path, relayctl.Reason(err))
	}
	if err := dir.Age(p.Now(), a.expiry(), p.PID); err != nil {
		a.warn("%s", relayctl.Reason(err))
	}
	return nil
}
