//go:build !linux

package limits

import "syscall"

// keep has nothing to keep: only the Linux entry code raises limits.
func keep(number int, soft, hard uint64) bool { return false }

// limited is never called, for the same reason.
func limited(path string, args, env []string) error { return syscall.Exec(path, args, env) }
