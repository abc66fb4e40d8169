// Package sandbox builds a wall around a program that has no business with most of
// the host: after it, no code in the process, whoever wrote it, can open other
// files, start programs or use the network beyond what was named.
//
// On Linux it is made of Landlock (files), a seccomp filter (system calls) and
// no_new_privs, which both need. A kernel without one of them gives the program a
// lower wall; the other platforms give none. Available says which it is, and
// qmail-showctl prints that.
//
// Only programs that never lead to the set-uid qmail-queue or to a user's program
// can have a wall: no_new_privs is inherited and would break those. See
// ARCHITECTURE.md for who has which.
package sandbox

import (
	"fmt"

	"quail/internal/prog"
)

// Network is what a walled program may do with sockets.
type Network int

// The kinds of network, from least to most.
const (
	None    Network = iota
	Callers         // take calls at a socket that it has been given
	Local           // that, and talk to local services
	Syslog          // talk to local services
	Host            // that, and ask for this host's addresses
	Clients         // connect to other hosts, and ask for this one's addresses
)

// Wall is what a program may still do. What is not named is refused.
type Wall struct {
	Read    []string // files, and directories with all below, to be read
	Write   []string // the same, to be read, written, made and removed
	Network Network
}

// Build puts the wall around this process, for good. Paths that do not exist are
// left out.
func (w Wall) Build() error { return build(w) }

// Around is Build as a step of prog.Main. A program that should have a wall and
// cannot get what this system offers does not run.
func Around(w Wall) prog.Option {
	return func(p *prog.Process) error {
		if err := w.Build(); err != nil {
			return fmt.Errorf("unable to build sandbox: %w", err)
		}
		p.Walled = refusesExec
		return nil
	}
}

// NoNewPrivileges is the lowest wall: set-uid programs started from here get no
// rights by it. It suits programs that run others.
func NoNewPrivileges() prog.Option {
	return func(*prog.Process) error { return noNewPrivileges() }
}

// Available names what this system can build walls of.
func Available() string { return available() }
