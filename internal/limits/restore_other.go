//go:build !linux

package limits

// restore has nothing to do: only the Linux entry code raises limits.
func restore(pid, limit int, soft, hard uint64) {}
