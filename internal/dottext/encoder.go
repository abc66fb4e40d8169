package dottext

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

// ErrPartialLine says that a message does not end with a line end, so that SMTP
// cannot carry it.
var ErrPartialLine = errors.New("partial final line")

// Encoder writes a stored message as the text that follows DATA:
//
//	LF and CR LF      are sent as CR LF
//	CR, then no LF    is sent as CR LF; if a CR comes next, that one is sent bare
//	CR at the end     is sent as CR LF
//	. on a new line   is sent twice
//
// Differs from qmail: a line is new after anything sent as a line end, also after
// a CR, and a bare CR before a dot is sent as CR LF too. So no message can end
// the text early, whatever the next server takes for a line end.
type Encoder struct {
	w     io.Writer
	out   []byte
	state encoding
	err   error
}

// encoding is what the bytes before the next one were.
type encoding byte

const (
	lineStart encoding = iota
	midLine
	afterCR     // not sent yet: what follows decides
	afterBareCR // sent as it was
)

// NewEncoder returns an Encoder for one message. Each Write ends with a Write to
// w of all that can be sent so far.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Write encodes the next bytes of the message.
func (e *Encoder) Write(b []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	e.out = slices.Grow(e.out[:0], min(len(b)+len(b)/16, flushAt))
	for rest := b; len(rest) > 0; {
		rest = e.next(rest)
		if len(e.out) >= flushAt && !e.flush() {
			return 0, e.err
		}
	}
	if !e.flush() {
		return 0, e.err
	}
	return len(b), nil
}

// flushAt bounds the memory that one Write of a large message takes.
const flushAt = 16384

func (e *Encoder) flush() bool {
	if len(e.out) > 0 {
		_, e.err = e.w.Write(e.out)
		e.out = e.out[:0]
	}
	return e.err == nil
}

// next encodes b up to its first line end or CR, or one byte where the bytes
// before it matter, and returns what is left.
func (e *Encoder) next(b []byte) []byte {
	switch e.state {
	case afterCR:
		e.out = append(e.out, '\r', '\n')
		switch b[0] {
		case '\n':
			e.state = lineStart
			return b[1:]
		case '\r':
			e.out = append(e.out, '\r')
			e.state = afterBareCR
			return b[1:]
		}
	case afterBareCR:
		if b[0] == '.' {
			e.out = append(e.out, '\n')
			e.state = lineStart
		}
	}
	if b[0] == '.' && (e.state == lineStart || e.state == afterCR) {
		e.out = append(e.out, '.')
	}
	e.state = midLine
	return e.line(b)
}

// line sends the rest of a line, which is taken to hold nothing special.
func (e *Encoder) line(b []byte) []byte {
	end := bytes.IndexByte(b, '\n')
	text := b
	if end >= 0 {
		text = b[:end]
	}
	if cr := bytes.IndexByte(text, '\r'); cr >= 0 {
		e.out = append(e.out, b[:cr]...)
		e.state = afterCR
		return b[cr+1:]
	}
	e.out = append(e.out, text...)
	if end < 0 {
		return nil
	}
	e.out = append(e.out, '\r', '\n')
	e.state = lineStart
	return b[end+1:]
}

// Close ends the text: with a dot on a line of its own, or with ErrPartialLine
// and nothing sent if the last line has no end.
func (e *Encoder) Close() error {
	if e.err != nil {
		return e.err
	}
	end := ".\r\n"
	switch e.state {
	case midLine, afterBareCR:
		return ErrPartialLine
	case afterCR:
		end = "\r\n.\r\n"
	}
	_, e.err = io.WriteString(e.w, end)
	return e.err
}
