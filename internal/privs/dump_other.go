//go:build !linux

package privs

// Undumpable has nothing to do: a program that has given up root's rights is not looked
// into here.
func Undumpable() error { return nil }
