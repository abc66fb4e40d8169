package remote

import (
	"os"
	"sync"
	"time"

	"quail/internal/ascii"
	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/nexthop"
)

// controls are the control files that qmail-remote reads.
type controls struct {
	heloHost       string
	timeoutConnect time.Duration
	timeoutRemote  time.Duration
	routes         control.Map
	policies       nexthop.Policies
	trust          *trust
	limits         limits // only in a process of many jobs
}

// files is what a process of many jobs looks at for each, as far as it is there: what is
// not would change the directory.
var files = []string{".", "me", "helohost", "timeoutconnect", "timeoutremote", "smtproutes", "remotelimits", "tlsroutes", "tlscas"}

// settings is the control files as read last.
type settings struct {
	mu    sync.Mutex
	stamp control.Stamp
	kept  controls
}

// controls returns what the control files say now. A process of many jobs reads them
// again when one of them has changed.
func (r *Remote) controls(now time.Time) (controls, verdict) {
	if r.Keep == nil {
		return readControls()
	}
	s, dir := &r.Keep.settings, control.In(conf.Home)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stamp.Valid(dir) {
		return s.kept, ""
	}
	stamp := dir.Stamp(files...)
	c, v := readControls()
	if v == "" {
		c.limits, v = readLimits()
	}
	if v == "" && stamp.Settled(now) {
		s.stamp, s.kept = stamp, c
	}
	return c, v
}

func readLimits() (limits, verdict) {
	lines, _, err := control.In(conf.Home).List("remotelimits")
	if err != nil {
		return nil, noControls
	}
	l, err := parseLimits(lines)
	if err != nil {
		return nil, noControls
	}
	return l, ""
}

// readControls reads the files that matter to one job by itself.
func readControls() (controls, verdict) {
	// The final dot makes this need what chdir needs: a directory that may be entered.
	if _, err := os.Stat(conf.Home + "/."); err != nil {
		return controls{}, noHome
	}
	dir := control.In(conf.Home)
	var c controls
	me, haveMe, err := dir.Line("me")
	if err != nil {
		return c, noControls
	}
	host, have, err := dir.Line("helohost")
	if err != nil || !have && !haveMe {
		return c, noControls
	}
	if c.heloHost = me; have {
		c.heloHost = host
	}
	if c.timeoutConnect, err = seconds(dir, "timeoutconnect", 60); err != nil {
		return c, noControls
	}
	if c.timeoutRemote, err = seconds(dir, "timeoutremote", 1200); err != nil {
		return c, noControls
	}
	if c.routes, _, err = dir.Map("smtproutes"); err != nil {
		return c, noControls
	}
	lines, _, err := dir.List("tlsroutes")
	if err != nil {
		return c, noControls
	}
	if c.policies, err = nexthop.ParsePolicies(lines); err != nil {
		return c, verdict("Z" + ascii.Printable(err.Error(), '?') + ". (#4.3.0)\n")
	}
	c.trust = new(trust)
	return c, ""
}

// seconds reads a time; more than a year is a year, so that it can be added to.
func seconds(dir control.Dir, name string, def int) (time.Duration, error) {
	const year = 365 * 24 * 60 * 60
	n, err := dir.Int(name, def)
	return time.Duration(min(n, year)) * time.Second, err
}
