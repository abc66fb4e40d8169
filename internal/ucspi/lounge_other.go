//go:build !linux

package ucspi

import "time"

type (
	guest struct{}
	poll  struct{}
)

// Wait takes nobody.
func (l *Lounge) Wait(*Conn, time.Duration, func(late bool)) bool { return false }
