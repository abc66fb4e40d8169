// Package limits lets a Go program start under the memory limits of classic qmail
// run scripts and hands those limits on to the programs it runs.
//
// "softlimit -m 2000000" leaves less address space than the Go runtime reserves
// before main, so package entry raises the soft limits of address space and data before
// the runtime starts. Where the soft limit of address space is below the size of the
// program file, two to four megabytes, the kernel ends the program by a signal before
// that: a crash, which is temporary everywhere.
//
// The limits of a program that is running are never touched from outside: one of
// ours may be past its first instructions, and its runtime dies if it cannot grow.
// A program in the home's bin is told in the environment what the limits were; any
// other one is run by a shell that sets them first.
//
// softlimit is where limits are set within the suite. It hands those of address space and
// data on like one that was started with them.
//
// Differs from qmail: the soft limits do not bind the program itself. What they
// were for, a bound on memory a message, is built into each program.
package limits

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"quail/internal/conf"
	"quail/internal/entry"
)

// variable tells a program of the suite the soft limits, address space then data,
// that its parent was started with. Whoever else sets it lowers nothing but the
// limits of what that program runs.
const variable = "QUAIL_LIMITS="

// Inherit takes what a parent of the suite says of its limits out of an environment.
// It is called once, before the first program is run.
func Inherit(env []string) []string {
	out := make([]string, 0, len(env))
	for _, s := range env {
		text, ok := strings.CutPrefix(s, variable)
		if !ok {
			out = append(out, s)
			continue
		}
		for i, field := range strings.Fields(text) {
			soft, err := strconv.ParseUint(field, 10, 64)
			if i < len(entry.Limits) && err == nil && entry.Limits[i].Raised == 0 && soft < entry.Limits[i].Soft {
				entry.Limits[i].Soft, entry.Limits[i].Raised = soft, 1
			}
		}
	}
	return out
}

// told returns env with what Inherit takes out of it. A limit that was not raised is
// a dash.
func told(env []string) []string {
	fields := []string{"-", "-"}
	for i, l := range entry.Limits {
		if l.Raised != 0 {
			fields[i] = strconv.FormatUint(l.Soft, 10)
		}
	}
	return append(append([]string{}, env...), variable+strings.Join(fields, " "))
}

// raised reports whether this process has limits to hand on.
func raised() bool {
	return entry.Limits[entry.AddressSpace].Raised|entry.Limits[entry.Data].Raised != 0
}

// ours reports whether the program path, meant from the directory dir, is in the
// home's bin.
func ours(dir, path string) bool {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Dir(path) == filepath.Join(conf.Home, "bin")
}

// Child returns what to start instead of the program paths[0], with the working
// directory dir, so that it runs under the limits that this one was started with. A
// shell that sets them first can always be started; it takes the first of the paths
// that there is.
func Child(dir string, paths, args, env []string) (string, []string, []string) {
	path := paths[0]
	switch {
	case !raised():
		return path, args, env
	case ours(dir, path):
		return path, args, told(env)
	}
	script := ""
	for i, option := range [...]string{entry.AddressSpace: "-v", entry.Data: "-d"} {
		if entry.Limits[i].Raised != 0 {
			script += fmt.Sprintf("ulimit -S %s %d; ", option, entry.Limits[i].Soft/1024)
		}
	}
	for _, path := range paths[:len(paths)-1] {
		quoted := "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
		script += "test -x " + quoted + " && exec " + quoted + ` "$@"; `
	}
	return "/bin/sh", append([]string{"sh", "-c", script + `exec "$0" "$@"`, paths[len(paths)-1]}, args[1:]...), env
}

// Exec turns this process into the program path, meant from the directory dir,
// which is the working directory. It does not return if it succeeds.
func Exec(dir, path string, args, env []string) error {
	defer entry.Becoming()()
	switch {
	case !raised():
		return syscall.Exec(path, args, env)
	case ours(dir, path):
		return syscall.Exec(path, args, told(env))
	}
	return limited(path, args, env)
}
