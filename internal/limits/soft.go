package limits

import (
	"math"
	"syscall"
)

// Hard is for Soft, and more than any limit.
const Hard = math.MaxUint64

// Soft makes n the soft limit on a resource, by its number to the kernel, of the program
// that this one becomes; the hard limit if that is lower. Limits on memory that Exec can
// hand on do not bind this program before.
func Soft(resource int, n uint64) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(resource, &now); err != nil {
		return err
	}
	if keep(resource, min(n, uint64(now.Max)), uint64(now.Max)) {
		return nil
	}
	lower(&now.Cur, n, now.Max)
	return syscall.Setrlimit(resource, &now)
}

// lower sets a soft limit, whose type is not everywhere the same.
func lower[T int64 | uint64](soft *T, n uint64, hard T) { *soft = T(min(n, uint64(hard))) }
