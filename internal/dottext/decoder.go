// Package dottext is the form in which SMTP carries a message after DATA: lines
// ended by CR LF, a dot doubled where it begins a line, and a line of one dot at
// the end. See spec "Receiving mail", section 4, and "Remote delivery", section 9.
//
// The client at the other end may be anybody's and may want this host and the
// next to disagree on where a message ends. So the decoder knows one line end
// only, CR LF, and refuses a text with any other LF.
package dottext

import (
	"bytes"
	"errors"
	"io"
)

// ErrBareLF says that a text has an LF with no CR before it.
var ErrBareLF = errors.New("bare LF in mail text")

// Decoder turns the text that follows DATA into the message as it is stored. Its
// zero value is ready for one message.
//
//	CR LF                   is stored as LF
//	. beginning a line      is dropped
//	. CR LF                 as a line ends the text
//	. CR, then no LF        as the beginning of a line is stored with its dot
//	CR, then no LF          is stored
//	LF with no CR before it is ErrBareLF
type Decoder struct {
	// Size is the number of bytes stored so far.
	Size int64
	// Hops is the number of Received and Delivered-To lines in the header so far,
	// known by how they begin.
	Hops int

	state decoding
	body  bool            // the header is over
	begin [hopPrefix]byte // how the current line of the header begins
	have  int             // how much of begin is known
}

// decoding is what the bytes before the next one were. CR and dot are held back
// until what follows decides.
type decoding byte

const (
	newLine   decoding = iota
	inLine             // anything that is not special
	heldCR             // a CR
	heldDot            // a dot that began a line
	heldDotCR          // such a dot and a CR
	textEnded
)

// Slack is how much longer than its input the output of one Decode may be: what
// was held back before.
const Slack = 2

// Decode decodes src, the next bytes from the client, and appends what is to be
// stored to dst. It returns dst and how much of src it took. The error is io.EOF
// where the text has ended: the bytes after that are no part of it. With
// ErrBareLF the text is to be thrown away.
func (d *Decoder) Decode(dst, src []byte) (stored []byte, n int, err error) {
	before := len(dst)
	rest := src
	for len(rest) > 0 && err == nil {
		var took int
		dst, took, err = d.next(dst, rest)
		if !d.body {
			d.header(rest[:took])
		}
		rest = rest[took:]
	}
	d.Size += int64(len(dst) - before)
	return dst, len(src) - len(rest), err
}

// next decodes one byte where the bytes before it matter, else up to the end of
// the line.
func (d *Decoder) next(dst, src []byte) ([]byte, int, error) {
	c := src[0]
	switch d.state {
	case textEnded:
		return dst, 0, io.EOF
	case newLine:
		if c == '.' {
			d.state = heldDot
			return dst, 1, nil
		}
	case heldDot:
		if c == '\r' {
			d.state = heldDotCR
			return dst, 1, nil
		}
	case heldDotCR:
		if c == '\n' {
			d.state = textEnded
			return dst, 1, io.EOF
		}
		dst = append(dst, '.', '\r')
	case heldCR:
		if c == '\n' {
			d.state = newLine
			return append(dst, '\n'), 1, nil
		}
		dst = append(dst, '\r')
	}
	return d.line(dst, src)
}

// line decodes the rest of a line, of which nothing is held back.
func (d *Decoder) line(dst, src []byte) ([]byte, int, error) {
	end := bytes.IndexByte(src, '\n')
	switch {
	case end == 0 || end > 0 && src[end-1] != '\r':
		return dst, end + 1, ErrBareLF
	case end > 0:
		d.state = newLine
		dst = append(dst, src[:end]...)
		dst[len(dst)-1] = '\n'
		return dst, end + 1, nil
	case src[len(src)-1] == '\r':
		d.state = heldCR
		return append(dst, src[:len(src)-1]...), len(src), nil
	}
	d.state = inLine
	return append(dst, src...), len(src), nil
}

// How the lines begin that count as hops. What follows these letters, if only a
// colon, does not matter.
const (
	hopReceived  = "received"
	hopDelivered = "delivered"
	hopPrefix    = len(hopDelivered)
)

// header looks at bytes of the header as the client sent them, which hold at most
// one line end, at their end.
func (d *Decoder) header(raw []byte) {
	d.have += copy(d.begin[d.have:], raw)
	if len(raw) == 0 || raw[len(raw)-1] != '\n' {
		return
	}
	line := d.begin[:d.have]
	switch {
	case string(line) == "\r\n":
		d.body = true
	case beginsWith(line, hopReceived), beginsWith(line, hopDelivered):
		d.Hops++
	}
	d.have = 0
}

// beginsWith reports whether line begins with the letters of word, in any case.
func beginsWith(line []byte, word string) bool {
	if len(line) < len(word) {
		return false
	}
	for i := range len(word) {
		if line[i] != word[i] && line[i] != word[i]-'a'+'A' {
			return false
		}
	}
	return true
}
