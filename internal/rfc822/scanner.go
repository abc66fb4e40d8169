package rfc822

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

// MaxHeader is how long a header may be, in bytes. A header is kept in memory; a
// body never is.
const MaxHeader = 32 << 20

// ErrTooLong says that a header is longer than MaxHeader.
var ErrTooLong = errors.New("header of more than " + strconv.Itoa(MaxHeader) + " bytes")

// bufferSize bounds the name of a field, and nothing else.
const bufferSize = 64 << 10

// Scanner reads a message: first its header fields, one at a time, then its body.
//
//	s := rfc822.NewScanner(r)
//	for s.Next() {
//		… s.Field() …
//	}
//	if s.Err() != nil { … }
//	io.Copy(w, s.Body())
type Scanner struct {
	r     *bufio.Reader
	field []byte
	size  int
	// pending is the start of a line that has been read but not used: the
	// first line of the next field, or of the body.
	pending []byte
	partial bool // pending does not end its line
	between string
	ended   bool
	err     error
}

// NewScanner reads a message from r.
func NewScanner(r io.Reader) *Scanner {
	return &Scanner{r: bufio.NewReaderSize(r, bufferSize)}
}

// Next reads the next header field and reports whether there was one.
func (s *Scanner) Next() bool {
	if s.ended {
		return false
	}
	if s.pending == nil {
		s.readChunk()
	}
	if !s.startsField() {
		s.ended = true
		return false
	}
	s.field = s.field[:0]
	if bytes.HasPrefix(s.pending, []byte("From ")) {
		s.field = append(s.field, "MBOX-Line: "...)
	}
	for s.takeLine() {
		s.readChunk()
		if s.err != nil || len(s.pending) == 0 || s.pending[0] != ' ' && s.pending[0] != '\t' {
			break
		}
	}
	if s.err != nil {
		s.ended = true
		return false
	}
	return true
}

// startsField reports whether pending is the start of a header field. If not, it
// notes what goes between header and body.
func (s *Scanner) startsField() bool {
	switch {
	case s.err != nil || len(s.pending) == 0 || s.pending[0] == '\n':
		return false
	case bytes.HasPrefix(s.pending, []byte("From ")), hasName(s.pending):
		return true
	}
	s.between = "\n"
	return false
}

// hasName reports whether line begins with the name of a field and a colon.
func hasName(line []byte) bool {
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	for _, c := range name {
		if c < 33 || c > 126 {
			return false
		}
	}
	return ok && len(name) > 0
}

// takeLine moves the rest of a line from pending to field and reports whether it
// may be continued by another one. A last line without a line feed gets one.
func (s *Scanner) takeLine() bool {
	for s.err == nil {
		if s.size += len(s.pending); s.size > MaxHeader {
			s.err = ErrTooLong
			return false
		}
		s.field = append(s.field, s.pending...)
		if !s.partial {
			return true
		}
		s.readChunk()
		if len(s.pending) == 0 {
			s.field = append(s.field, '\n')
			s.partial = false
			return false
		}
	}
	return false
}

// readChunk fills pending with a line or with as much of it as fits the buffer.
// At the end of input pending is empty.
func (s *Scanner) readChunk() {
	var err error
	s.pending, err = s.r.ReadSlice('\n')
	s.partial = err != nil
	if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
		s.err = err
	}
}

// Field returns the field that Next has read: all its lines, each ended by a line
// feed. A From_ line of an mbox comes as a field called MBOX-Line.
func (s *Scanner) Field() string { return string(s.field) }

// Err returns what ended the header before its end: ErrTooLong or a read error.
// Errors in the body come from Body.
func (s *Scanner) Err() error { return s.err }

// Body returns the rest of the message, its last line completed: the empty line
// that ended the header, or one put in its place, and the body. A message that
// has only a header gives nothing.
func (s *Scanner) Body() io.Reader {
	return &body{r: io.MultiReader(strings.NewReader(s.between), bytes.NewReader(bytes.Clone(s.pending)), s.r), last: '\n'}
}

// body completes the last line of what it reads.
type body struct {
	r    io.Reader
	last byte
}

func (b *body) Read(buf []byte) (int, error) {
	n, err := b.r.Read(buf)
	if n > 0 {
		b.last = buf[n-1]
	}
	switch {
	case err != io.EOF:
		return n, err
	case n > 0: // the end comes again
		return n, nil
	case b.last != '\n' && len(buf) > 0:
		buf[0], b.last = '\n', '\n'
		return 1, nil
	}
	return 0, io.EOF
}

// Split divides a field into its name and what follows the colon, without the
// final line feed.
func Split(field string) (name, value string) {
	name, value, _ = strings.Cut(strings.TrimSuffix(field, "\n"), ":")
	return strings.TrimRight(name, " \t"), value
}
