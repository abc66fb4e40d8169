//go:build profile

package prog

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// profiles is a directory where every program leaves its profiles. The linker sets it
// (make build PROFILE=/some/where); whoever the programs run as must be able to write
// there.
var profiles string

// profile records where the time of this process goes, from now until the function
// that it returns is called, into NAME.PID.cpu, and what its memory is used for then,
// into NAME.PID.heap. Programs that end by turning into others leave none.
func profile(p *Process) (end func()) {
	create := func(kind string) *os.File {
		f, err := os.Create(fmt.Sprintf("%s/%s.%d.%s", profiles, p.Name, p.PID, kind))
		if err != nil {
			fmt.Fprintf(p.Stderr, "%s: warning: no profile: %v\n", p.Name, err)
		}
		return f
	}
	// Both files are opened before a wall may be built.
	cpu, heap := create("cpu"), create("heap")
	if cpu == nil || heap == nil || pprof.StartCPUProfile(cpu) != nil {
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		pprof.WriteHeapProfile(heap)
		cpu.Close()
		heap.Close()
	}
}
