// Package submission owns the bytes on the queue's socket, HOME/run/queue: between
// whoever puts a message into the queue and qmail-queued.
//
// The client sends frames, each a type, a length in three bytes, most significant
// first, and that many bytes, at least one:
//
//	M  a part of the message, as it would come on descriptor 0 of qmail-queue
//	E  a part of the envelope, as it would come on descriptor 1 (package envelope)
//
// any number of M first, then E until the envelope is complete. The final NUL of the
// envelope is the end of it all: nothing is queued before that has come, and who
// closes the connection earlier has changed his mind.
//
// The answer is 12 bytes, most significant first: 4 of the status that wait would
// report for qmail-queue, 8 of the number of the job, the qp. It may come early if the
// status is not 0; the connection is closed after such a one. Else the client may
// begin another message when it has the answer, not before.
//
// The client may be any local user, and what it sends is read by Reader alone.
package submission

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// Path is where the socket is, below the home.
const Path = "run/queue"

// Types of frames.
const (
	typeMessage  = 'M'
	typeEnvelope = 'E'
)

const (
	headerSize = 4
	maxFrame   = 1<<24 - 1
)

// AnswerSize is the length of an answer.
const AnswerSize = 12

// ErrFrame is a frame that should not be there, or an answer that is none.
var ErrFrame = errors.New("bad frame")

// Answer says what became of a message.
type Answer struct {
	Status int // as wait reports it: exit code times 256, or a signal
	Number int // of the job
}

// Append adds the bytes of the answer to b.
func (a Answer) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(a.Status))
	return binary.BigEndian.AppendUint64(b, uint64(a.Number))
}

// ParseAnswer reads an answer.
func ParseAnswer(b []byte) (Answer, error) {
	if len(b) != AnswerSize {
		return Answer{}, io.ErrUnexpectedEOF
	}
	status, number := binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:])
	// Of a core dump without a signal, wait's macros say that it is a success.
	if status > 1<<16-1 || status&0xff == 0x80 || number > 1<<62 {
		return Answer{}, ErrFrame
	}
	return Answer{int(status), int(number)}, nil
}

// Writer makes frames of one message and gathers them in its buffer: what fits there
// is sent by one Write.
type Writer struct {
	w    io.Writer
	b    []byte
	kind byte // of the next frame
	at   int  // where the frame begins in b that is being filled; -1 if none is
	err  error
}

// NewWriter returns a Writer for one message. The buffer must have room for more than
// a header.
func NewWriter(w io.Writer, buffer []byte) *Writer {
	return &Writer{w: w, b: buffer[:0], kind: typeMessage, at: -1}
}

// Write adds to the message or, after Envelope, to the envelope. Once it fails it
// always does.
func (w *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && w.err == nil {
		if w.at < 0 && cap(w.b)-len(w.b) > headerSize {
			w.at = len(w.b)
			w.b = append(w.b, w.kind, 0, 0, 0)
		}
		if w.at >= 0 {
			k := copy(w.b[len(w.b):min(cap(w.b), w.at+headerSize+maxFrame)], p)
			w.b, p = w.b[:len(w.b)+k], p[k:]
		}
		if len(p) > 0 {
			w.Flush()
		}
	}
	return n - len(p), w.err
}

// Envelope ends the message: what is written next is the envelope.
func (w *Writer) Envelope() {
	w.endFrame()
	w.kind = typeEnvelope
}

// endFrame fills in the length of the frame.
func (w *Writer) endFrame() {
	if w.at >= 0 {
		n := len(w.b) - w.at - headerSize
		w.b[w.at+1], w.b[w.at+2], w.b[w.at+3] = byte(n>>16), byte(n>>8), byte(n)
	}
	w.at = -1
}

// Flush sends what has been gathered.
func (w *Writer) Flush() error {
	w.endFrame()
	if w.err == nil && len(w.b) > 0 {
		_, w.err = w.w.Write(w.b)
	}
	w.b = w.b[:0]
	return w.err
}

// Unpack undoes what one Flush has sent, for whoever passes it on in another form: part
// is called with the contents of each frame, and whether they are of the envelope.
func Unpack(b []byte, part func(contents []byte, ofEnvelope bool)) {
	for len(b) > headerSize {
		end := headerSize + (int(b[1])<<16 | int(b[2])<<8 | int(b[3]))
		part(b[headerSize:min(end, len(b))], b[0] == typeEnvelope)
		b = b[min(end, len(b)):]
	}
}

// Reader reads one message after another from a connection. It never reads on when the
// envelope is complete, but for what its source has buffered.
type Reader struct {
	r    *bufio.Reader
	kind byte // of the frame being read
	left int  // bytes of it
}

// NewReader returns a Reader of what r gives.
func NewReader(r *bufio.Reader) *Reader { return &Reader{r: r} }

// Message returns the reader of the message: its end is where the envelope begins.
func (r *Reader) Message() io.Reader { return part{r, typeMessage, typeEnvelope} }

// Envelope returns the reader of the envelope, once the message has been read. It has
// no end of its own, so the end of the connection is an unexpected one.
func (r *Reader) Envelope() io.Reader { return part{r, typeEnvelope, 0} }

// Finished reports whether the client waits for the answer, as it should when its
// envelope is complete; the next message can then be read.
func (r *Reader) Finished() bool {
	r.kind = 0
	return r.left == 0 && r.r.Buffered() == 0
}

// part reads the frames of one type.
type part struct {
	r          *Reader
	kind, next byte // the type, and that of the frames that end it, or 0
}

// Read reads from one frame.
func (p part) Read(b []byte) (int, error) {
	r := p.r
	if r.left == 0 {
		if err := r.header(); err != nil {
			return 0, err
		}
	}
	switch r.kind {
	case p.kind:
	case p.next:
		return 0, io.EOF
	default:
		return 0, ErrFrame
	}
	n, err := r.r.Read(b[:min(len(b), r.left)])
	r.left -= n
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// header reads the header of the next frame.
func (r *Reader) header() error {
	var h [headerSize]byte
	if _, err := io.ReadFull(r.r, h[:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	r.kind, r.left = h[0], int(h[1])<<16|int(h[2])<<8|int(h[3])
	// A type of zero must not pass for the one that part has where nothing follows.
	if r.left == 0 || r.kind == 0 {
		return ErrFrame
	}
	return nil
}
