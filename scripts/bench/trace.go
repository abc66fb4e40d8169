//go:build linux

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// traced are the system calls of a counting run: what syncs, and what forks.
const traced = "fsync,fdatasync,sync_file_range,syncfs,sync,msync,open,openat,openat2,clone,clone3,fork,vfork"

var (
	called    = regexp.MustCompile(`^\d+ +(\w+)\((.*)`)
	synchrony = regexp.MustCompile(`\bO_D?SYNC\b`)
)

// counted are the numbers of a trace.
type counted struct{ syncs, forks int }

// count reads the traces of a server's services. A call that another one interrupted in
// the log counts where it begins.
func (h *host) count(trace string) (counted, error) {
	var sum counted
	names, err := filepath.Glob(h.path(trace) + ".*")
	if err != nil {
		return sum, err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return sum, err
		}
		for line := range strings.Lines(string(text)) {
			c := countLine(line)
			sum.syncs, sum.forks = sum.syncs+c.syncs, sum.forks+c.forks
		}
	}
	return sum, nil
}

// countLine counts one line of strace's.
func countLine(line string) counted {
	m := called.FindStringSubmatch(line)
	if m == nil {
		return counted{}
	}
	switch name, arguments := m[1], m[2]; name {
	case "open", "openat", "openat2":
		if synchrony.MatchString(arguments) {
			return counted{syncs: 1}
		}
		return counted{}
	case "clone", "clone3", "fork", "vfork":
		if strings.Contains(arguments, "CLONE_THREAD") {
			return counted{}
		}
		return counted{forks: 1}
	}
	return counted{syncs: 1}
}
