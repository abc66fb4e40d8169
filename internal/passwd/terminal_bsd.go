//go:build freebsd || darwin || netbsd || openbsd || dragonfly

package passwd

import "golang.org/x/sys/unix"

// The requests for the settings of a terminal: those to change drop what was typed ahead.
const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETAF
)
