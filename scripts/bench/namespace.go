//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// reenter runs this program again where it has mounts and a network that nobody else
// sees. They go away with it however it ends.
func (o *options) reenter(ctx context.Context) error {
	// There, this program needs descriptors for 10,000 connections. The servers get the
	// soft limit that Debian gives: some close all that there could be.
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit = syscall.Rlimit{Cur: 1024, Max: max(limit.Max, 16384)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("needs a limit of %d open files: %w", limit.Max, err)
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"--inside", "--bin=" + o.bin}, os.Args[1:]...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	runtime.LockOSThread() // the signal at this process's death comes at the death of this thread
	cmd.Args[0] = os.Args[0]
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM, Setpgid: true,
	}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return errors.New("not everything was measured")
	}
	return err
}

// settle makes the namespace fit: nothing mounted here is seen outside, the loopback
// interface is up, and there are ports for 10,000 connections.
func settle() error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if _, err := run("ip", "link", "set", "lo", "up"); err != nil {
		return err
	}
	syscall.Umask(0o022)
	for name, value := range map[string]string{"ipv4/ip_local_port_range": "10000 65000", "core/somaxconn": "4096",
		"ipv4/tcp_tw_reuse": "1"} {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

// unifiedHierarchy finds where the kernel's control groups of version 2 are mounted.
// They count the CPU time of a server, with that of all its children.
func unifiedHierarchy() (string, error) {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", errors.New("needs control groups of version 2, mounted")
}

// group is a control group: the processes of one server, or of one of its services.
type group string

func newGroup(parent group, name string) (group, error) {
	g := group(filepath.Join(string(parent), name))
	return g, os.MkdirAll(string(g), 0o755)
}

// cpu is the CPU time that the processes of g have had, in seconds.
func (g group) cpu() (float64, error) {
	stat, err := os.ReadFile(filepath.Join(string(g), "cpu.stat"))
	if err != nil {
		return 0, err
	}
	var µs float64
	_, err = fmt.Sscanf(string(stat), "usage_usec %g", &µs)
	return µs / 1e6, err
}

// processes lists those in g and in the groups below it.
func (g group) processes() []int {
	var out []int
	filepath.WalkDir(string(g), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil
		}
		text, _ := os.ReadFile(path)
		for _, word := range strings.Fields(string(text)) {
			var pid int
			fmt.Sscan(word, &pid)
			out = append(out, pid)
		}
		return nil
	})
	return out
}

// memory is the proportional set size of all processes of g, in KiB: what they share
// among themselves counts once.
func (g group) memory() float64 {
	var sum float64
	for _, pid := range g.processes() {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)) // one that has just ended has none
		for line := range strings.Lines(string(text)) {
			var kib float64
			if n, _ := fmt.Sscanf(line, "Pss: %g", &kib); n == 1 {
				sum += kib
			}
		}
	}
	return sum
}

// end kills what is left in g.
func (g group) end() error {
	err := os.WriteFile(filepath.Join(string(g), "cgroup.kill"), []byte("1"), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return until("the processes of "+filepath.Base(string(g))+" to end", func() bool { return len(g.processes()) == 0 })
}

// remove removes g and the groups below it, which are empty.
func (g group) remove() {
	below, _ := filepath.Glob(filepath.Join(string(g), "*/"))
	for _, dir := range below {
		group(dir).remove()
	}
	os.Remove(string(g))
}
