// Package surrogate makes of a message with UTF-8 in its header one that stands for it
// where that is not understood. See RFC 6856, section 2.1, and RFC 6858.
//
// Addresses that cannot be written in ASCII become one that is certain not to exist,
// with the true one in its name. Text becomes encoded words. Of the parameters of MIME
// fields the values are encoded. A field of another kind is left out. Only fields that
// are UTF-8 and not ASCII are touched; whatever else is in the message, as mail in
// character sets of other times, stays as it is, and so do all bodies. The headers
// inside of a message, of its parts and of messages in it, are treated in the same way.
//
// The message is a stranger's. It is never held as a whole: a field may have MaxField
// bytes, beyond which its UTF-8 is replaced by question marks; a line of a body may have
// any length, and parts may be in parts to a certain depth.
package surrogate

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// MaxField is how long a field may be to be understood.
const MaxField = 64 << 10

// maxDepth is how many multiparts may be in each other. What is deeper is a body.
const maxDepth = 16

// pieceSize is how much of a line is read at once.
const pieceSize = 16 << 10

// Reader gives the surrogate of a message, both with lines that end in LF.
type Reader struct {
	in  *bufio.Reader
	out bytes.Buffer // of what has been read, what has not been taken
	err error        // of in

	inHeader   bool
	within     bool     // in the middle of a line of a body
	boundaries []string // of the multiparts around, the innermost last
	part       kind     // of what this header is the header of
}

// kind is what a MIME header says of the body.
type kind struct {
	boundary string // it has parts
	message  bool   // it is a message
}

// NewReader returns a reader of the surrogate of the message r.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, pieceSize), inHeader: true}
}

func (r *Reader) Read(b []byte) (int, error) {
	for r.out.Len() == 0 && r.err == nil {
		if r.inHeader {
			r.header()
		} else {
			r.body()
		}
	}
	if r.out.Len() == 0 {
		return 0, r.err
	}
	return r.out.Read(b)
}

// header reads a field, or the line that ends the header.
func (r *Reader) header() {
	var field []byte
	for {
		line, err := r.in.ReadSlice('\n')
		field = append(field, line...)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			r.err = err
			break
		}
		ended := err == nil
		if ended && len(bytes.TrimRight(field, "\r\n")) == 0 {
			r.out.Write(field)
			r.endHeader()
			return
		}
		if len(field) > MaxField {
			r.long(field, ended)
			return
		}
		if !ended {
			continue
		}
		if next, _ := r.in.Peek(1); len(next) == 0 || next[0] != ' ' && next[0] != '\t' {
			break
		}
	}
	// A boundary ends a header that has no other end.
	if r.boundary(field) {
		r.out.Write(field)
		return
	}
	text := string(field)
	r.part.look(text)
	if foreign(text) && utf8.ValidString(text) {
		text = translate(text)
	}
	r.out.WriteString(text)
}

// long writes the rest of a line in a field that is too long, and the start of it.
func (r *Reader) long(field []byte, ended bool) {
	for {
		for i, c := range field {
			if c >= utf8.RuneSelf {
				field[i] = '?'
			}
		}
		r.out.Write(field)
		if ended || r.err != nil {
			return
		}
		var err error
		field, err = r.in.ReadSlice('\n')
		ended = err == nil
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			r.err = err
		}
	}
}

// endHeader goes on to what the header is of.
func (r *Reader) endHeader() {
	r.inHeader = r.part.message
	if b := r.part.boundary; b != "" && len(r.boundaries) < maxDepth {
		r.boundaries = append(r.boundaries, b)
	}
	r.part = kind{}
}

// body reads a line of a body, or a piece of one.
func (r *Reader) body() {
	line, err := r.in.ReadSlice('\n')
	starts := !r.within
	r.within = errors.Is(err, bufio.ErrBufferFull)
	if err != nil && !r.within {
		r.err = err
	}
	r.out.Write(line)
	if starts && !r.within {
		r.boundary(line)
	}
}

// boundary reports whether a line divides the parts of a multipart, and goes on to the
// next part.
func (r *Reader) boundary(line []byte) bool {
	text, ok := bytes.CutPrefix(bytes.TrimRight(line, " \t\r\n"), []byte("--"))
	if !ok {
		return false
	}
	for i := len(r.boundaries) - 1; i >= 0; i-- {
		switch rest, ok := bytes.CutPrefix(text, []byte(r.boundaries[i])); {
		case !ok:
		case len(rest) == 0:
			r.boundaries, r.inHeader, r.part = r.boundaries[:i+1], true, kind{}
			return true
		case string(rest) == "--":
			r.boundaries, r.inHeader, r.part = r.boundaries[:i], false, kind{}
			return true
		}
	}
	return false
}

// foreign reports whether there is more in text than ASCII.
func foreign(text string) bool {
	return strings.IndexFunc(text, func(c rune) bool { return c >= utf8.RuneSelf }) >= 0
}
