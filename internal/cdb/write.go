package cdb

import (
	"bufio"
	"io"
	"math"
)

// Writer makes a database, byte for byte the one that cdbmake would make of the
// same records in the same order.
type Writer struct {
	w       io.WriteSeeker
	b       *bufio.Writer
	pos     int64
	entries [tables][]pair // the slots of each table, in the order added
}

// NewWriter starts a database at the beginning of w, which should be empty.
func NewWriter(w io.WriteSeeker) *Writer {
	writer := &Writer{w: w, b: bufio.NewWriter(w), pos: headerSize}
	writer.b.Write(make([]byte, headerSize)) // a place for the header; see Finish
	return writer
}

// Add appends a record.
func (w *Writer) Add(r Record) error {
	size := pairSize + int64(len(r.Key)) + int64(len(r.Value))
	if w.pos+size > math.MaxUint32 {
		return ErrTooBig
	}
	h := hash(r.Key)
	w.entries[h%tables] = append(w.entries[h%tables], pair{h, uint32(w.pos)})
	w.pos += size
	// bufio remembers an error, so the last of these tells of any before it.
	w.put(pair{uint32(len(r.Key)), uint32(len(r.Value))})
	w.b.WriteString(r.Key)
	_, err := w.b.WriteString(r.Value)
	return err
}

// Finish writes the tables and, last, the header. Without it there is no
// database. The underlying writer is not closed.
func (w *Writer) Finish() error {
	header := make([]byte, 0, headerSize)
	for _, entries := range w.entries {
		slots := place(entries)
		if w.pos+int64(len(slots))*pairSize > math.MaxUint32 {
			return ErrTooBig
		}
		header = pair{uint32(w.pos), uint32(len(slots))}.appendTo(header)
		for _, slot := range slots {
			w.put(slot)
		}
		w.pos += int64(len(slots)) * pairSize
	}
	if err := w.b.Flush(); err != nil {
		return err
	}
	if _, err := w.w.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := w.w.Write(header)
	return err
}

// place lays out one table: twice as many slots as entries, each entry at the
// first free slot from its own on. No record is at position 0, so that marks a
// free slot.
func place(entries []pair) []pair {
	slots := make([]pair, 2*len(entries))
	for _, e := range entries {
		at := int(e.first / tables % uint32(len(slots)))
		for slots[at].second != 0 {
			at = (at + 1) % len(slots)
		}
		slots[at] = e
	}
	return slots
}

func (w *Writer) put(p pair) { w.b.Write(p.appendTo(w.b.AvailableBuffer())) }
