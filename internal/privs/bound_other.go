//go:build !linux

package privs

// Bound has nothing to do: rights of root are not divided here, or, on Solaris,
// the service manifest divides them.
func Bound() {}
