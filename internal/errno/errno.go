// Package errno gives system errors the two meanings that qmail's programs give
// them: a text of qmail's own, which stands in reports, bounces and logs that
// other software reads, and the verdict whether trying again can help.
// See spec README, "Private error texts" and "Temporary versus permanent".
package errno

import (
	"context"
	"errors"
	"os"
	"syscall"
)

// texts is in the order of the spec; the first row that matches counts, which
// matters where two names are one number (EAGAIN and EWOULDBLOCK on Linux).
var texts = []struct {
	errno syscall.Errno
	text  string
}{
	{syscall.EINTR, "interrupted system call"},
	{syscall.ENOMEM, "out of memory"},
	{syscall.ENOENT, "file does not exist"},
	{syscall.ETXTBSY, "text busy"},
	{syscall.EIO, "input/output error"},
	{syscall.EEXIST, "file already exists"},
	{syscall.ETIMEDOUT, "timed out"},
	{syscall.EINPROGRESS, "operation in progress"},
	{syscall.EAGAIN, "temporary failure"},
	{syscall.EWOULDBLOCK, "input/output would block"},
	{syscall.EPIPE, "broken pipe"},
	{syscall.EPERM, "permission denied"},
	{syscall.EACCES, "access denied"},
	{syscall.ESRCH, "no such process"},
	{syscall.ENXIO, "device not configured"},
	{syscall.E2BIG, "argument list too long"},
	{syscall.ENOEXEC, "exec format error"},
	{syscall.EBADF, "file descriptor not open"},
	{syscall.ECHILD, "no child processes"},
	{syscall.EDEADLK, "operation would cause deadlock"},
	{syscall.EFAULT, "bad address"},
	{syscall.ENOTBLK, "not a block device"},
	{syscall.EBUSY, "device busy"},
	{syscall.EXDEV, "cross-device link"},
	{syscall.ENODEV, "device does not support operation"},
	{syscall.ENOTDIR, "not a directory"},
	{syscall.EISDIR, "is a directory"},
	{syscall.EINVAL, "invalid argument"},
	{syscall.ENFILE, "system cannot open more files"},
	{syscall.EMFILE, "process cannot open more files"},
	{syscall.ENOTTY, "not a tty"},
	{syscall.EFBIG, "file too big"},
	{syscall.ENOSPC, "out of disk space"},
	{syscall.ESPIPE, "unseekable descriptor"},
	{syscall.EROFS, "read-only file system"},
	{syscall.EMLINK, "too many links"},
	{syscall.EDOM, "input out of range"},
	{syscall.ERANGE, "output out of range"},
	{syscall.EALREADY, "operation already in progress"},
	{syscall.ENOTSOCK, "not a socket"},
	{syscall.EDESTADDRREQ, "destination address required"},
	{syscall.EMSGSIZE, "message too long"},
	{syscall.EPROTOTYPE, "incorrect protocol type"},
	{syscall.ENOPROTOOPT, "protocol not available"},
	{syscall.EPROTONOSUPPORT, "protocol not supported"},
	{syscall.ESOCKTNOSUPPORT, "socket type not supported"},
	{syscall.EOPNOTSUPP, "operation not supported"},
	{syscall.EPFNOSUPPORT, "protocol family not supported"},
	{syscall.EAFNOSUPPORT, "address family not supported"},
	{syscall.EADDRINUSE, "address already used"},
	{syscall.EADDRNOTAVAIL, "address not available"},
	{syscall.ENETDOWN, "network down"},
	{syscall.ENETUNREACH, "network unreachable"},
	{syscall.ENETRESET, "network reset"},
	{syscall.ECONNABORTED, "connection aborted"},
	{syscall.ECONNRESET, "connection reset"},
	{syscall.ENOBUFS, "out of buffer space"},
	{syscall.EISCONN, "already connected"},
	{syscall.ENOTCONN, "not connected"},
	{syscall.ESHUTDOWN, "socket shut down"},
	{syscall.ETOOMANYREFS, "too many references"},
	{syscall.ECONNREFUSED, "connection refused"},
	{syscall.ELOOP, "symbolic link loop"},
	{syscall.ENAMETOOLONG, "file name too long"},
	{syscall.EHOSTDOWN, "host down"},
	{syscall.EHOSTUNREACH, "host unreachable"},
	{syscall.ENOTEMPTY, "directory not empty"},
	{syscall.EUSERS, "too many users"},
	{syscall.EDQUOT, "disk quota exceeded"},
	{syscall.ESTALE, "stale NFS file handle"},
	{syscall.EREMOTE, "too many levels of remote in path"},
	{syscall.ENOLCK, "no locks available"},
	{syscall.ENOSYS, "system call not available"},
	{syscall.ENOMSG, "no message of desired type"},
	{syscall.EBADMSG, "bad message type"},
	{syscall.EIDRM, "identifier removed"},
	{syscall.ENOLINK, "link severed"},
	{syscall.EPROTO, "protocol error"},
	{syscall.EMULTIHOP, "multihop attempted"},
}

// Text returns qmail's words for err: those of the system error that err wraps,
// or err's own where there is none.
func Text(err error) string {
	var no syscall.Errno
	if !errors.As(err, &no) {
		if os.IsTimeout(err) {
			return Text(syscall.ETIMEDOUT)
		}
		return err.Error()
	}
	if no == 0 {
		return "no error"
	}
	for _, row := range texts {
		if row.errno == no {
			return row.text
		}
	}
	return "unknown error"
}

// temporary is the set of spec README, "Temporary versus permanent system errors".
var temporary = map[syscall.Errno]bool{
	syscall.EINTR:        true,
	syscall.ENOMEM:       true,
	syscall.ETXTBSY:      true,
	syscall.EIO:          true,
	syscall.ETIMEDOUT:    true,
	syscall.EWOULDBLOCK:  true,
	syscall.EDEADLK:      true,
	syscall.EBUSY:        true,
	syscall.ENFILE:       true,
	syscall.EMFILE:       true,
	syscall.EFBIG:        true,
	syscall.ENOSPC:       true,
	syscall.ENETDOWN:     true,
	syscall.ENETUNREACH:  true,
	syscall.ENETRESET:    true,
	syscall.ECONNABORTED: true,
	syscall.ECONNRESET:   true,
	syscall.ENOBUFS:      true,
	syscall.ETOOMANYREFS: true,
	syscall.ECONNREFUSED: true,
	syscall.EHOSTDOWN:    true,
	syscall.EHOSTUNREACH: true,
	syscall.EUSERS:       true,
	syscall.EDQUOT:       true,
	syscall.ESTALE:       true,
	syscall.ENOLCK:       true,
}

// Temporary reports whether err wraps a system error that may pass by itself.
// An error that wraps no system error is temporary only if it is a timeout.
func Temporary(err error) bool {
	var no syscall.Errno
	if errors.As(err, &no) {
		return temporary[no]
	}
	return os.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded)
}
