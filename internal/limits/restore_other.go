//go:build !linux

package limits

// set has nothing to do: only the Linux entry code raises limits.
func set(choose func(limit) uint64) {}

// keep has nothing to keep for the same reason.
func keep(number int, soft, hard uint64) bool { return false }
