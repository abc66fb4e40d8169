package limits

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"quail/internal/entry"
)

// resource is the kernel's number of each of them.
var resource = [2]int{entry.AddressSpace: unix.RLIMIT_AS, entry.Data: unix.RLIMIT_DATA}

// keep saves a soft limit for Exec and reports whether it is one of those.
func keep(number int, soft, hard uint64) bool {
	for i := range resource {
		if resource[i] == number {
			entry.Limits[i] = entry.Limit{Soft: soft, Hard: hard, Raised: 1}
			return true
		}
	}
	return false
}

// limited turns this process into a program under the limits that were found.
//
// Between them and the program nothing may need memory: the runtime, which cannot get
// any then, would die of it. The library's own Exec copies arguments and environment.
func limited(path string, args, env []string) error {
	// 1. All that has to be made.
	name, err := syscall.BytePtrFromString(path)
	if err != nil {
		return err
	}
	argv, err := syscall.SlicePtrFromStrings(args)
	if err != nil {
		return err
	}
	environ, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return err
	}
	var soft, hard [len(entry.Limits)]unix.Rlimit
	for i, l := range entry.Limits {
		soft[i], hard[i] = unix.Rlimit{Cur: l.Soft, Max: l.Hard}, unix.Rlimit{Cur: l.Hard, Max: l.Hard}
	}
	// 2. The limit on descriptors as it was before the library raised it, which the library
	//    does for a program that cannot be run too; and no thread is half made.
	syscall.Exec("", []string{""}, nil)
	// 3. Nothing else runs from here on. What had just begun has its turn before: the
	//    library's own goroutines, in a program that becomes another one at once.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	runtime.Gosched()
	// 4. Limits and program, past the library and its scheduler.
	set(&soft)
	_, _, errno := syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&environ[0])))
	set(&hard)
	return errno
}

// set sets the limits that were raised.
func set(to *[len(entry.Limits)]unix.Rlimit) {
	for i := range entry.Limits {
		if entry.Limits[i].Raised != 0 {
			syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, uintptr(resource[i]), uintptr(unsafe.Pointer(&to[i])), 0, 0, 0)
		}
	}
}
