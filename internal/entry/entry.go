// Package entry is the beginning of every program: the linker is told (-E quail_entry,
// see Makefile) to begin at a few instructions in entry_linux_*.s instead of the Go
// runtime's own entry. What they change is meant for this program alone, so it can be
// found out here what was there before.
//
// They raise the soft limits of address space and data to the hard ones, since the runtime
// reserves more than classic run scripts allow and would die with status 2, which a C
// spawner turns into a bounce; and leave with status 111, "try again later", where the
// hard limit itself is too low. Package limits hands the old ones on.
//
// They let the kernel wake the program's threads late, and daemons ask it for more of that
// kind when they run (Batch). Punctual keeps both from the programs that are started.
//
// On amd64 they have the runtime begin with one processor: it would start threads for the
// others before main, and most programs are over before those have had anything to do. Who
// wants more says so when it runs; see Environment.
package entry

import "slices"

// Limits are those found, by AddressSpace and Data. They are written before the runtime
// starts; package limits owns them afterwards.
var Limits [2]Limit

// Indexes of Limits.
const (
	AddressSpace = 0
	Data         = 1
)

// Limit is a limit on a resource, in bytes.
type Limit struct {
	Soft, Hard uint64
	Raised     uint64 // 1 if the soft one has been raised to the hard one
}

// oneProcessor is what the entry code appends to the environment for the runtime. Nobody
// else writes the number so, and any other GOMAXPROCS comes first and counts.
const oneProcessor = "GOMAXPROCS=01"

// Environment returns an environment without what the entry code has appended to it, and
// whether that was there: then the program has one processor and nobody asked for that.
func Environment(env []string) (rest []string, one bool) {
	i := slices.Index(env, oneProcessor)
	if i < 0 {
		return env, false
	}
	return slices.Delete(env, i, i+1), true
}
