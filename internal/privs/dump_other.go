//go:build !linux

package privs

// Undumpable does nothing: of what this system has for it, nothing is used.
func Undumpable() error { return nil }
