//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsyscall "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// refusesExec says whether a walled program can start no other.
const refusesExec = true

// build is three steps, of which the first is the condition of the others:
func build(w Wall) error {
	// 1. No program that is started from here gains rights by it. Every thread of
	//    the process takes this step.
	if err := noNewPrivileges(); err != nil {
		return err
	}
	// 2. Files. Landlock keeps to what the kernel knows of it.
	var rules []landlock.Rule
	for _, path := range w.Read {
		rules = append(rules, rule(path, landlock.ROFiles, landlock.RODirs)...)
	}
	for _, path := range w.Write {
		rules = append(rules, rule(path, landlock.RWFiles, landlock.RWDirs)...)
	}
	if err := landlock.V3.BestEffort().RestrictPaths(rules...); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	// 3. System calls.
	return filter(w.Network)
}

func rule(path string, file, dir func(...string) landlock.FSRule) []landlock.Rule {
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return nil
	case fi.IsDir():
		return []landlock.Rule{dir(path).WithRefer()} // links between named directories
	}
	return []landlock.Rule{file(path)}
}

func noNewPrivileges() error {
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	return nil
}

// refused are the system calls that no walled program needs: those that start
// programs, reach into other processes, or talk to rarely used and often broken
// parts of the kernel. A list of what is allowed would have to follow every
// version of Go's runtime.
var refused = []uint32{
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_FANOTIFY_INIT,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL, unix.SYS_KEXEC_LOAD, unix.SYS_INIT_MODULE,
	unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_PERSONALITY, unix.SYS_ACCT, unix.SYS_QUOTACTL,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_REBOOT, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME,
	unix.SYS_ADJTIMEX, unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETGROUPS, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
	unix.SYS_LISTEN,
}

// taking are the system calls by which calls are taken, which only Callers and Local may.
var taking = []uint32{unix.SYS_ACCEPT, unix.SYS_ACCEPT4}

// families are the kinds of socket that each Network may make.
var families = map[Network][]uint32{
	None:    nil,
	Callers: nil,
	Local:   {unix.AF_UNIX},
	Syslog:  {unix.AF_UNIX},
	Host:    {unix.AF_UNIX, unix.AF_NETLINK},
	Clients: {unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK},
}

// Offsets into struct seccomp_data, on little-endian machines.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArg0   = 16
)

// x32 marks calls of amd64's second table, which the list does not know.
const x32 = 0x40000000

var arch = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]

// program returns the filter: refused calls, and sockets of other families, fail
// with EPERM; calls by another architecture's numbers end the process.
func program(n Network) []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		least = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K
	)
	allow := unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW}
	refuse := unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	p := []unix.SockFilter{
		{Code: load, K: offsetArch},
		{Code: equal, K: arch, Jt: 1},
		{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: offsetNumber},
		{Code: least, K: x32, Jf: 1},
		refuse,
	}
	numbers := refused
	if n != Callers && n != Local {
		numbers = append(taking[:len(taking):len(taking)], refused...)
	}
	for _, number := range numbers {
		p = append(p, unix.SockFilter{Code: equal, K: number, Jf: 1}, refuse)
	}
	p = append(p, unix.SockFilter{Code: equal, K: unix.SYS_SOCKET, Jt: 1}, allow,
		unix.SockFilter{Code: load, K: offsetArg0})
	for _, family := range families[n] {
		p = append(p, unix.SockFilter{Code: equal, K: family, Jf: 1}, allow)
	}
	return append(p, refuse)
}

// filter installs the program for all threads at once. A kernel that has no
// seccomp leaves it at that.
func filter(n Network) error {
	p := program(n)
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 && errno != unix.ENOSYS {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

func available() string {
	s := "seccomp"
	if v, err := llsyscall.LandlockGetABIVersion(); err == nil && v > 0 {
		s = fmt.Sprintf("Landlock (version %d) and seccomp", v)
	}
	return s
}
