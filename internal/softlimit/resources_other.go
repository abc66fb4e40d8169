//go:build !solaris

package softlimit

import "golang.org/x/sys/unix"

// resources are the kernel's numbers of what the options limit.
var resources = map[byte]int{
	'a': unix.RLIMIT_AS, 'c': unix.RLIMIT_CORE, 'd': unix.RLIMIT_DATA, 'f': unix.RLIMIT_FSIZE,
	'l': unix.RLIMIT_MEMLOCK, 'o': unix.RLIMIT_NOFILE, 'p': unix.RLIMIT_NPROC, 'r': unix.RLIMIT_RSS,
	's': unix.RLIMIT_STACK, 't': unix.RLIMIT_CPU,
}
