package limits

import "golang.org/x/sys/unix"

// resource is the kernel's number of each saved limit.
var resource = [2]int{addressSpace: unix.RLIMIT_AS, data: unix.RLIMIT_DATA}

// set gives each soft limit that was raised the value that choose picks.
func set(choose func(limit) uint64) {
	for i, l := range saved {
		if l.raised != 0 {
			unix.Prlimit(0, resource[i], &unix.Rlimit{Cur: choose(l), Max: l.hard}, nil)
		}
	}
}

// keep saves a soft limit for Exec and reports whether it is one of those.
func keep(number int, soft, hard uint64) bool {
	for i := range resource {
		if resource[i] == number {
			saved[i] = limit{soft: soft, hard: hard, raised: 1}
			return true
		}
	}
	return false
}
