package checkpw

import (
	"encoding/binary"
	"errors"
	"io"
)

// MaxRecord is how many bytes of a record any checkpassword looks at.
const MaxRecord = 512

// MaxAtOnce is how many programs qmail-auth runs at once.
const MaxAtOnce = 20

// errFormat is an order, or a verdict, that is none.
var errFormat = errors.New("not in form")

// An Order is what the half of qmail-auth that listens asks of the half that may run a
// program: the next one with this record on descriptor 3. Its bytes are a number that
// the verdict repeats (four bytes, the highest first), the length of the record (two), and
// the record. Who gives orders may have been taken over, and can give no other ones.
type Order struct {
	Number uint32
	Record []byte // MaxRecord bytes at most
}

// Append adds the bytes of the order.
func (o Order) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, o.Number)
	b = binary.BigEndian.AppendUint16(b, uint16(len(o.Record)))
	return append(b, o.Record...)
}

// ReadOrder reads an order. The end of r before one is io.EOF.
func ReadOrder(r io.Reader) (o Order, err error) {
	var head [6]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return o, err
	}
	n := binary.BigEndian.Uint16(head[4:])
	if n > MaxRecord {
		return o, errFormat
	}
	o.Number, o.Record = binary.BigEndian.Uint32(head[:]), make([]byte, n)
	if _, err = io.ReadFull(r, o.Record); err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return o, err
}

// Outcome is what a program came to.
type Outcome byte

// The outcomes.
const (
	Right Outcome = 'y'
	Wrong Outcome = 'n'
	Later Outcome = 'l' // the program does not know, or died
)

// OutcomeOf returns what an exit code means. 1 is wrong for every checkpassword; 3 and 12
// to 23 are so for vpopmail's, which tells reasons apart.
func OutcomeOf(code int) Outcome {
	switch {
	case code == 0:
		return Right
	case code == 1, code == 3, 12 <= code && code <= 23:
		return Wrong
	}
	return Later
}

// Verdict answers an order: its number and the outcome, five bytes.
type Verdict struct {
	Number  uint32
	Outcome Outcome
}

// Append adds the bytes of the verdict.
func (v Verdict) Append(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, v.Number), byte(v.Outcome))
}

// ReadVerdict reads a verdict. The end of r before one is io.EOF.
func ReadVerdict(r io.Reader) (v Verdict, err error) {
	var b [5]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return v, err
	}
	v = Verdict{binary.BigEndian.Uint32(b[:]), Outcome(b[4])}
	switch v.Outcome {
	case Right, Wrong, Later:
		return v, nil
	}
	return Verdict{}, errFormat
}
