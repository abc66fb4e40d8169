// Package netstring is the bytes of which QMTP and QMQP are made: a length in decimal,
// a colon, so many bytes, a comma. See spec "Receiving mail", sections 6 to 8.
//
// The peer may be anybody. A netstring is read as a stream, whatever its length; nothing
// is held of it but what the caller asks for, and no netstring within another can reach
// past the end of that one.
//
// Differs from qmail: no digits at all are no length, and the lengths of recipients are
// as strict as all others.
package netstring

import (
	"errors"
	"io"
	"strconv"
)

// What can be wrong with a netstring, beside an end that comes too early, which is
// io.ErrUnexpectedEOF.
var (
	ErrFormat  = errors.New("bad netstring")
	ErrTooLong = errors.New("netstring too long")
)

// Bounds of a length.
const (
	// limit is what a number must not be above where a further digit follows: the
	// longest netstring that can be read has 2000000009 bytes. qmail's servers have
	// the same.
	limit = 200_000_000
	// maxDigits bounds a length with zeros in front.
	maxDigits = 99
)

// Source is where netstrings are read from: a *bufio.Reader, or a Reader, which makes
// them netstrings within a netstring.
type Source interface {
	io.Reader
	io.ByteReader
}

// Reader reads the contents of one netstring. Their end is io.EOF.
type Reader struct {
	from Source
	left int64
}

// Open begins a netstring by reading its length. An end of the source before that is
// io.EOF, one within it is not; the end of a netstring that should contain this one is
// ErrFormat.
func Open(from Source) (*Reader, error) {
	r := &Reader{from: from}
	for digits := 0; ; digits++ {
		c, err := from.ReadByte()
		switch {
		case err == io.EOF && digits == 0 && !r.nested():
			return nil, io.EOF
		case err != nil:
			return nil, r.early(err)
		case c == ':' && digits > 0:
			return r, nil
		case r.left > limit:
			return nil, ErrTooLong
		case c < '0' || c > '9' || digits == maxDigits:
			return nil, ErrFormat
		}
		r.left = 10*r.left + int64(c-'0')
	}
}

// Left returns how many bytes of the contents have not been read.
func (r *Reader) Left() int64 { return r.left }

func (r *Reader) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.from.Read(b[:min(int64(len(b)), r.left)])
	r.left -= int64(n)
	if n > 0 {
		return n, nil // an error will be there again
	}
	return 0, r.early(err)
}

// ReadByte reads one byte of the contents.
func (r *Reader) ReadByte() (byte, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	c, err := r.from.ReadByte()
	if err == nil {
		r.left--
	}
	return c, r.early(err)
}

// Close ends the netstring: it passes over what has not been read, and the comma.
func (r *Reader) Close() error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	switch c, err := r.from.ReadByte(); {
	case err != nil:
		return r.early(err)
	case c != ',':
		return ErrFormat
	}
	return nil
}

// Text reads what is left of the contents if that is no more than most bytes, and ends
// the netstring in either case.
func (r *Reader) Text(most int) (text string, fits bool, err error) {
	var b []byte
	if fits = r.left <= int64(most); fits {
		b = make([]byte, r.left)
		if _, err = io.ReadFull(r, b); err != nil {
			return "", fits, err
		}
	}
	return string(b), fits, r.Close()
}

// nested reports whether this netstring is within another.
func (r *Reader) nested() bool {
	_, is := r.from.(*Reader)
	return is
}

// early says what the end of the source means within this netstring.
func (r *Reader) early(err error) error {
	switch {
	case err != io.EOF:
		return err
	case r.nested():
		return ErrFormat
	}
	return io.ErrUnexpectedEOF
}

// Begin returns what comes before contents of n bytes. A comma comes behind them.
func Begin(n int64) string { return strconv.FormatInt(n, 10) + ":" }

// Size returns how long the netstring of n bytes is.
func Size(n int64) int64 { return int64(len(Begin(n))) + n + 1 }

// Format returns the netstring of text.
func Format(text string) string { return Begin(int64(len(text))) + text + "," }
