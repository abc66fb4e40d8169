//go:build !linux

package limits

import "syscall"

// Files returns the limit on open files of this process.
func Files(uint64) (limit uint64, err error) {
	var now syscall.Rlimit
	err = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now)
	return uint64(now.Cur), err
}
