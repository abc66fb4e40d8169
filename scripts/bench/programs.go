//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// program is the CPU time, in ms a message, of the processes of that name.
func program(name string) metric { return metric("CPU of " + name) }

// programs is the CPU time in seconds that the living processes of g have had, by the
// name of the program.
func (g group) programs() map[string]float64 {
	out := map[string]float64{}
	for _, pid := range g.processes() {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // one that has just ended has none
		if name, seconds, ok := parseStat(string(text)); ok {
			out[name] += seconds
		}
	}
	return out
}

// parseStat reads the name and the CPU time from a line of /proc: the name is in
// brackets and may have some itself, the times are the 14th and 15th field.
func parseStat(line string) (name string, seconds float64, ok bool) {
	begin, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if begin < 0 || end < begin {
		return "", 0, false
	}
	fields := strings.Fields(line[end+1:])
	if len(fields) < 13 {
		return "", 0, false
	}
	var user, system float64
	if n, _ := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); n != 2 {
		return "", 0, false
	}
	const ticks = 100 // a second: USER_HZ, which has one value on all that Debian runs on
	return line[begin+1 : end], (user + system) / ticks, true
}

// spent adds to m what each program has used since before, a message.
func (g group) spent(m figures, before map[string]float64, n int) {
	for name, seconds := range g.programs() {
		if used := seconds - before[name]; used > 0 {
			m[program(name)] = used * 1e3 / float64(n)
		}
	}
}

// shares shows which of Quail's programs use the CPU time of a message.
func (b *bench) shares(w *strings.Builder) {
	const name = "fresh"
	r := b.results[name]
	if r == nil || len(r.rounds["Quail"]) == 0 {
		return
	}
	seen := map[metric]bool{}
	for _, round := range r.rounds["Quail"] {
		for m := range round {
			seen[m] = strings.HasPrefix(string(m), string(program("")))
		}
	}
	type share struct {
		metric
		value float64
	}
	var all []share
	rest, _ := r.median("Quail", cpuEach)
	for m, is := range seen {
		if v, _ := r.median("Quail", m); is {
			all = append(all, share{m, v})
			rest -= v
		}
	}
	slices.SortFunc(all, func(a, b share) int { return int(1e6 * (b.value - a.value)) })
	fmt.Fprintf(w, "\n## Where Quail's CPU time goes (%s)\n\n| | ms a message |\n| --- | --- |\n", name)
	for _, s := range all {
		fmt.Fprintf(w, "| %s | %s |\n", s.metric, number(s.value))
	}
	fmt.Fprintf(w, "| processes that have ended | %s |\n", number(max(0, rest)))
}
