// Package cdb reads and writes D. J. Bernstein's constant databases: users/cdb,
// morercpthosts.cdb and the rules of tcpserver. See spec README, "cdb".
//
// A file is a header of 256 pairs (position, slots), one a hash table; then the
// records, each the lengths of its key and its value followed by both; then the
// tables, whose slots are pairs (hash, position of the record). All numbers are 32
// bits, low byte first. Equal keys may occur; the one added first is found.
//
// Files are the administrator's, but qmail-lspawn reads one as root in a process
// that lives for months, and an editor or a full disk can leave anything behind.
// So a Reader is total: whatever the bytes are, it ends, it stays within the
// file, and it allocates no more than the file is long. The package makes no
// system call of its own; cdbfile does that.
package cdb

import (
	"encoding/binary"
	"errors"
)

const (
	tables     = 256
	pairSize   = 8                 // two numbers of 32 bits
	headerSize = tables * pairSize // records begin here
)

// Errors about the file itself, as opposed to errors of reading and writing it.
var (
	ErrFormat = errors.New("not a valid constant database")
	ErrTooBig = errors.New("constant database would exceed 4 gigabytes")
)

// Record is one entry of a database.
type Record struct{ Key, Value string }

// hash is the function that every cdb in the world was made with.
func hash(key string) uint32 {
	h := uint32(5381)
	for i := 0; i < len(key); i++ {
		h = h*33 ^ uint32(key[i])
	}
	return h
}

// pair is the unit of the file: two numbers.
type pair struct{ first, second uint32 }

func (p pair) appendTo(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, p.first)
	return binary.LittleEndian.AppendUint32(b, p.second)
}
