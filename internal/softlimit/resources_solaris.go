package softlimit

import "golang.org/x/sys/unix"

// resources are the kernel's numbers of what the options limit. There are no limits on
// memory that is locked or resident here, nor on processes.
var resources = map[byte]int{
	'a': unix.RLIMIT_AS, 'c': unix.RLIMIT_CORE, 'd': unix.RLIMIT_DATA, 'f': unix.RLIMIT_FSIZE,
	'o': unix.RLIMIT_NOFILE, 's': unix.RLIMIT_STACK, 't': unix.RLIMIT_CPU,
}
