package limits

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Files raises the limit on open files of this process to n, as far as that is allowed,
// and returns what it is then. Programs that are started from here get the limit that
// this one was started with, as ever: that is why the call is made past the library,
// which would take the new one to be meant for them too.
func Files(n uint64) (limit uint64, err error) {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil || now.Cur >= n {
		return now.Cur, err
	}
	// The hard one needs CAP_SYS_RESOURCE and cannot be above fs.nr_open.
	for _, want := range []unix.Rlimit{{Cur: n, Max: max(n, now.Max)}, {Cur: min(n, now.Max), Max: now.Max}} {
		_, _, errno := unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&want)), 0, 0, 0)
		if errno == 0 {
			return want.Cur, nil
		}
	}
	return now.Cur, nil
}
