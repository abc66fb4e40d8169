// Package limits lets a Go program start under the memory limits of classic qmail
// run scripts and hands those limits on to the programs it starts.
//
// "softlimit -m 2000000" leaves less address space than the Go runtime reserves
// before main, and the runtime then dies with status 2, which a C spawner turns
// into a bounce. So the linker is told (-E quail_entry, see Makefile) to begin at
// a few instructions in entry_linux_*.s instead of the runtime's own entry. They
// raise the soft limits of address space and data to the hard ones, and leave with
// status 111, "try again later", where the hard limit itself is too low.
//
// Differs from qmail: the soft limits do not bind the program itself. What they
// were for, a bound on memory a message, is built into each program.
package limits

// Numbers of the two limits, as entry_linux_*.s saves them.
const (
	addressSpace = 0
	data         = 1
)

// saved holds the limits found by the entry code, soft then hard, and whether it
// raised the soft one. It is written before the runtime starts.
var saved [2]struct {
	soft, hard uint64
	raised     uint64
}

// Raised reports whether the entry code raised a limit, so that children need
// theirs put back.
func Raised() bool { return saved[addressSpace].raised|saved[data].raised != 0 }

// Restore puts the soft limits of this process back to what they were at start.
// It is for the moment before exec: the Go runtime cannot grow afterwards.
func Restore() {
	for i, l := range saved {
		if l.raised != 0 {
			restore(0, i, l.soft, l.hard)
		}
	}
}

// RestoreChild does the same for the child process pid, which has just been
// started. The child may have run a few instructions by then, which is why its
// failure is nobody's: a set-uid child refuses, and keeps the raised limit.
func RestoreChild(pid int) {
	for i, l := range saved {
		if l.raised != 0 {
			restore(pid, i, l.soft, l.hard)
		}
	}
}
