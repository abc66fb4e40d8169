package errno

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestText(t *testing.T) {
	_, missing := os.Open("/nonexistent/file")
	for _, c := range []struct {
		err  error
		want string
	}{
		{missing, "file does not exist"},
		{fmt.Errorf("wrapped: %w", syscall.EAGAIN), "temporary failure"},
		{syscall.ENOSPC, "out of disk space"},
		{syscall.Errno(4095), "unknown error"},
		{syscall.Errno(0), "no error"},
		{os.ErrDeadlineExceeded, "timed out"},
		{errors.New("no errno here"), "no errno here"},
	} {
		if got := Text(c.err); got != c.want {
			t.Errorf("Text(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}

func TestTemporary(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{syscall.ENOSPC, true},
		{&os.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}, true},
		{os.ErrDeadlineExceeded, true},
		{syscall.ENOENT, false},
		{syscall.EACCES, false},
		{syscall.ENAMETOOLONG, false},
		{errors.New("other"), false},
	} {
		if got := Temporary(c.err); got != c.want {
			t.Errorf("Temporary(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}
