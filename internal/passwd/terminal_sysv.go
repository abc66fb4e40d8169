//go:build linux || solaris || illumos

package passwd

import "golang.org/x/sys/unix"

// The requests for the settings of a terminal: those to change drop what was typed ahead.
const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETSF
)
