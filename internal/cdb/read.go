package cdb

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
)

// Reader looks up records. It holds no position and may be shared.
type Reader struct {
	r      io.ReaderAt
	size   int64
	header atomic.Pointer[[headerSize]byte] // once it has been read
}

// NewReader returns a Reader of the database in the first size bytes of r.
// Nothing is read before the first lookup.
func NewReader(r io.ReaderAt, size int64) *Reader { return &Reader{r: r, size: size} }

// Find returns the value of the record with that key, the first one added if
// there are several. An error means that it cannot be known whether there is one.
func (r *Reader) Find(key string) (value []byte, ok bool, err error) {
	h := hash(key)
	table, err := r.table(h % tables)
	if err != nil || table.second == 0 {
		return nil, false, err
	}
	start, slots := int64(table.first), table.second
	if start+int64(slots)*pairSize > r.size {
		return nil, false, ErrFormat
	}
	// A table always has free slots, which end the search; if this one does not,
	// the count of its slots does.
	at := h / tables % slots
	for range slots {
		slot, err := r.pair(start + int64(at)*pairSize)
		if err != nil || slot.second == 0 {
			return nil, false, err
		}
		if slot.first == h {
			if value, ok, err = r.match(int64(slot.second), key); ok || err != nil {
				return value, ok, err
			}
		}
		if at++; at == slots {
			at = 0
		}
	}
	return nil, false, nil
}

// table returns where the slots of a table are and how many. Most lookups ask for
// several keys, most of these lead to a table without any: so the header is read once.
func (r *Reader) table(n uint32) (pair, error) {
	header := r.header.Load()
	if header == nil {
		header = new([headerSize]byte)
		if err := r.read(header[:], 0); err != nil {
			return pair{}, err
		}
		r.header.Store(header)
	}
	at := header[n*pairSize:]
	return pair{binary.LittleEndian.Uint32(at), binary.LittleEndian.Uint32(at[4:])}, nil
}

// match returns the value of the record at position pos if its key is key.
func (r *Reader) match(pos int64, key string) (value []byte, ok bool, err error) {
	lengths, err := r.pair(pos)
	if err != nil || int64(lengths.first) != int64(len(key)) {
		return nil, false, err
	}
	pos += pairSize
	found, err := r.bytes(pos, lengths.first)
	if err != nil || string(found) != key {
		return nil, false, err
	}
	value, err = r.bytes(pos+int64(lengths.first), lengths.second)
	return value, err == nil, err
}

// All returns the records in the order they were added. After an error there are
// no more.
func (r *Reader) All() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		// The tables follow the records, and the first table is the first of them.
		table, err := r.pair(0)
		if err != nil {
			yield(Record{}, err)
			return
		}
		end := int64(table.first)
		for pos := int64(headerSize); pos != end; {
			record, size, err := r.record(pos, end)
			if !yield(record, err) || err != nil {
				return
			}
			pos += size
		}
	}
}

// record returns the record at position pos, which has to be over at end, and its
// size in the file.
func (r *Reader) record(pos, end int64) (record Record, size int64, err error) {
	lengths, err := r.pair(pos)
	if err != nil {
		return Record{}, 0, err
	}
	size = pairSize + int64(lengths.first) + int64(lengths.second)
	if pos+size > end {
		return Record{}, 0, ErrFormat
	}
	key, err := r.bytes(pos+pairSize, lengths.first)
	if err != nil {
		return Record{}, 0, err
	}
	value, err := r.bytes(pos+pairSize+int64(lengths.first), lengths.second)
	return Record{string(key), string(value)}, size, err
}

// pair reads the two numbers at position pos.
func (r *Reader) pair(pos int64) (pair, error) {
	var b [pairSize]byte
	if err := r.read(b[:], pos); err != nil {
		return pair{}, err
	}
	return pair{binary.LittleEndian.Uint32(b[:4]), binary.LittleEndian.Uint32(b[4:])}, nil
}

// bytes reads n bytes at position pos. The length is checked before it is used
// for anything.
func (r *Reader) bytes(pos int64, n uint32) ([]byte, error) {
	if pos+int64(n) > r.size {
		return nil, ErrFormat
	}
	b := make([]byte, n)
	return b, r.read(b, pos)
}

// read fills b from position pos. Positions are sums of a few 32-bit numbers, so
// they are neither negative nor too large for 64 bits.
func (r *Reader) read(b []byte, pos int64) error {
	if pos+int64(len(b)) > r.size {
		return ErrFormat
	}
	n, err := r.r.ReadAt(b, pos)
	if n == len(b) {
		return nil // ReadAt may say EOF here
	}
	if err == io.EOF {
		return ErrFormat // the file shrank under us
	}
	return fmt.Errorf("read constant database: %w", err)
}
