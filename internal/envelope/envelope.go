// Package envelope owns the bytes in which sender and recipients travel: from
// injecting programs to qmail-queue (contract 1) and from qmail-queue through
// intd and todo to qmail-send (the records of contract 2). It also owns what the
// exit status of qmail-queue means. See spec "The queue", sections 4, 6 and 7.
//
// On descriptor 1 of qmail-queue:
//
//	F sender NUL  { T recipient NUL }  NUL
//
// In todo/ID:
//
//	u uid NUL  p pid NUL  F sender NUL  { T recipient NUL }
//
// The writer of the first form may be any local user. Transfer accepts nothing
// but that form, so that no address can become a second record.
package envelope

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// MaxAddress is the longest address that qmail-queue takes, in bytes.
const MaxAddress = 1002

// What Transfer can find wrong, each with an exit status of its own.
var (
	ErrTooLong = errors.New("address too long")
	ErrFormat  = errors.New("bad envelope format")
)

// WriteError says that Transfer could not write, as opposed to read.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return e.Err.Error() }
func (e *WriteError) Unwrap() error { return e.Err }

// Header returns the records that qmail-queue puts before those of its caller:
// the caller's real uid and the job's own number.
func Header(uid, pid int) string { return fmt.Sprintf("u%d\x00p%d\x00", uid, pid) }

// Transfer copies an envelope from the form of descriptor 1 to that of todo,
// without its final NUL, checking it on the way. An early end of r is
// io.ErrUnexpectedEOF. Bytes after the final NUL are left unread, apart from what
// r has buffered.
func Transfer(w io.Writer, r *bufio.Reader) error {
	record, err := readRecord(r, 'F')
	for err == nil {
		if _, err := w.Write(record); err != nil {
			return &WriteError{err}
		}
		record, err = readRecord(r, 'T')
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// readRecord reads one record of the given type, NUL included. The empty record
// that ends the recipients is io.EOF.
func readRecord(r *bufio.Reader, kind byte) ([]byte, error) {
	record := make([]byte, 0, 64)
	for {
		c, err := r.ReadByte()
		switch {
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case len(record) == 0 && c == 0 && kind == 'T':
			return nil, io.EOF
		case len(record) == 0 && c != kind:
			return nil, ErrFormat
		}
		record = append(record, c)
		if c == 0 && len(record) > 1 {
			return record, nil
		}
		if len(record) > 1+MaxAddress {
			return nil, ErrTooLong
		}
	}
}

// Record is one record of a todo, info, local or remote file.
type Record struct {
	Type byte // u, p, F, T or D
	Text string
}

// ReadRecord reads the next record. At the end of r it returns io.EOF; a last
// record without its NUL is io.ErrUnexpectedEOF.
func ReadRecord(r *bufio.Reader) (Record, error) {
	s, err := r.ReadString(0)
	if err == io.EOF && s != "" {
		return Record{}, io.ErrUnexpectedEOF
	}
	if err != nil {
		return Record{}, err
	}
	if len(s) == 1 {
		return Record{}, ErrFormat
	}
	return Record{s[0], s[1 : len(s)-1]}, nil
}

// String returns the bytes of the record.
func (r Record) String() string { return string(r.Type) + r.Text + "\x00" }

// Number returns the value of a u or p record: the digits that its text begins
// with, 0 without any, the largest number if there are too many.
func (r Record) Number() int {
	digits := len(r.Text) - len(strings.TrimLeft(r.Text, "0123456789"))
	n, _ := strconv.Atoi(r.Text[:digits]) // out of range gives the largest
	return n
}

// Clean reports whether address can stand in an envelope at all: a NUL would end
// its record and begin another.
func Clean(address string) bool { return strings.IndexByte(address, 0) < 0 }
