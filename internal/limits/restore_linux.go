package limits

import "golang.org/x/sys/unix"

// resource is the kernel's number of each saved limit.
var resource = [2]int{addressSpace: unix.RLIMIT_AS, data: unix.RLIMIT_DATA}

func restore(pid, limit int, soft, hard uint64) {
	unix.Prlimit(pid, resource[limit], &unix.Rlimit{Cur: soft, Max: hard}, nil)
}
