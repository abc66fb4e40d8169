package privs

import (
	"os"

	"golang.org/x/sys/unix"
)

// Undumpable keeps other processes of the same user from looking into this one, and the
// kernel from writing its memory to a file: for those that hold secrets. It lasts until
// another program is run.
func Undumpable() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}
