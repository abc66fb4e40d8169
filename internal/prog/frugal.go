package prog

import (
	"runtime"
	"runtime/debug"

	"quail/internal/entry"
)

// Frugal makes a process one that leaves machine and memory to others: that of a daemon
// or a warm program, which does little for each of many, with others like it beside it.
func Frugal(p *Process) error {
	p.few = true
	// What is in use is little by itself; it is a lot for thousands of jobs that wait,
	// and then half as much again has to do for what is not.
	debug.SetGCPercent(50)
	// Work that wakes another processor for a few microseconds costs more than it gains:
	// on two processors a message takes a seventh less of their time without that.
	runtime.GOMAXPROCS(max(1, runtime.NumCPU()/2))
	// Whoever has work for it is let finish before it begins: so it finds more to do at
	// once, and programs that pass a message on do not push each other aside for each step.
	entry.Batch()
	return nil
}

// Single is for a program that does one thing at a time and is soon over: it keeps to one
// processor where it began with one, see package entry.
func Single(p *Process) error {
	p.few = true
	return nil
}
