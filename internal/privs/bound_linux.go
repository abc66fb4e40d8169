package privs

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// never lists the capabilities that nothing below qmail-start needs. Those that
// users' set-uid programs may want in a delivery (procmail's, sudo's) are not here.
var never = []uintptr{
	unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYS_PTRACE, unix.CAP_SYS_PACCT, unix.CAP_SYS_BOOT,
	unix.CAP_SYS_TIME, unix.CAP_SYS_TTY_CONFIG, unix.CAP_LINUX_IMMUTABLE, unix.CAP_MAC_OVERRIDE, unix.CAP_MAC_ADMIN,
	unix.CAP_SYSLOG, unix.CAP_WAKE_ALARM, unix.CAP_BLOCK_SUSPEND, unix.CAP_AUDIT_CONTROL, unix.CAP_AUDIT_READ,
	unix.CAP_PERFMON, unix.CAP_BPF, unix.CAP_CHECKPOINT_RESTORE,
}

// Bound gives up, for this process and all that it will start, the rights of root
// that have nothing to do with mail. Without root there is nothing to give up; a
// capability that the kernel does not know is not had either.
func Bound() {
	for _, c := range never {
		syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0, 0, 0, 0)
	}
}
