package mailauth

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

var (
	errLong  = errors.New("line too long")
	errOrder = errors.New("lines are not sorted by login: run qmail-passwd for any login to have them sorted")
)

// few is how many bytes are read through rather than divided.
const few = 4096

// find returns the line of a login without its end, "" if there is none, by halving
// the file of size bytes until little is left.
func find(r io.ReaderAt, size int64, login string) (string, error) {
	lines := &reader{from: r, size: size, buffered: bufio.NewReaderSize(nil, maxLine)}
	// The line begins at low or after it and before high. What is known of the
	// logins beyond shows a file that is not sorted.
	low, high := int64(0), size
	after, before := "", ""
	for high-low > few {
		middle := low + (high-low)/2
		lines.seek(middle)
		line, start, err := lines.next(high)
		switch name, _, _ := strings.Cut(line, ":"); {
		case err == io.EOF:
			high = middle
		case err != nil:
			return "", err
		case name == login:
			return line, nil
		case name < after || before != "" && name >= before:
			return "", errOrder
		case name < login:
			low, after = start, name
		default:
			high, before = middle, name
		}
	}
	lines.seek(low)
	for {
		line, _, err := lines.next(high)
		if err == io.EOF {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		name, _, _ := strings.Cut(line, ":")
		if name == login {
			return line, nil
		}
		if name < after || before != "" && name >= before {
			return "", errOrder
		}
		after = name
	}
}

// reader reads the lines from some place on.
type reader struct {
	from     io.ReaderAt
	size, at int64
	buffered *bufio.Reader
	partial  bool // what comes next may be the end of a line
}

// seek goes to the first line that begins at offset or after it.
func (r *reader) seek(offset int64) {
	r.partial = offset > 0
	if r.partial {
		offset--
	}
	r.at = offset
	r.buffered.Reset(io.NewSectionReader(r.from, offset, r.size-offset))
}

// next returns the next line that says something and where it begins: io.EOF if none
// begins before limit.
func (r *reader) next(limit int64) (line string, start int64, err error) {
	for {
		start = r.at
		if start >= limit {
			return "", 0, io.EOF
		}
		b, err := r.buffered.ReadSlice('\n')
		r.at += int64(len(b))
		switch {
		case err == bufio.ErrBufferFull:
			return "", 0, errLong
		case err != nil && (err != io.EOF || len(b) == 0):
			return "", 0, err
		case r.partial:
			r.partial = false
		default:
			if line := strings.TrimSuffix(string(b), "\n"); line != "" && line[0] != '#' {
				return line, start, nil
			}
		}
	}
}
