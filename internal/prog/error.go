package prog

import (
	"errors"
	"syscall"

	"quail/internal/errno"
)

// failure is an error with an exit status. Without err nothing is printed.
type failure struct {
	status int
	err    error
	usage  bool
}

func (f *failure) Error() string {
	if f.err == nil {
		return "exit"
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

func (f *failure) prefix() string {
	if f.usage {
		return "usage: "
	}
	return "fatal: "
}

// Exit ends the program with status and prints nothing: whatever had to be said
// has been said, or the program is one that never speaks.
func Exit(status int) error { return &failure{status: status} }

// Status ends the program with status after printing "NAME: fatal: ERR".
func Status(status int, err error) error { return &failure{status: status, err: err} }

// Perm marks err as permanent: status 100.
func Perm(err error) error { return Status(StatusPermanent, err) }

// Usage ends the program with status 100 after printing "NAME: usage: TEXT".
func Usage(text string) error {
	return &failure{status: StatusPermanent, err: errors.New(text), usage: true}
}

// Fail says which operation failed, with qmail's own words for the cause:
// "unable to open x: file does not exist".
func Fail(operation string, cause error) error {
	return &operationError{operation, cause}
}

// Unwritten is that a listing could not be written. Where its reader has gone, as head
// does when it has seen enough, that is no news to anybody: only the status tells.
func Unwritten(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return Exit(StatusTemporary)
	}
	return Fail("unable to write", err)
}

type operationError struct {
	operation string
	cause     error
}

func (e *operationError) Error() string { return e.operation + ": " + errno.Text(e.cause) }
func (e *operationError) Unwrap() error { return e.cause }
