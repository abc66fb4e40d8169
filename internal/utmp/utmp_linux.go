package utmp

import "encoding/binary"

// The file of the C library, as utmp(5) has it: the fields that count here stand at
// the same places in all records, whose size depends on the processor.
const (
	path = "/var/run/utmp"

	userProcess = 7 // in the first two bytes, in the processor's order

	lineStart, lineEnd = 8, 8 + 32
	userStart, userEnd = 44, 44 + 32
)

// parse reads whole records; an incomplete one at the end is not there yet.
func parse(data []byte) (entries []Entry) {
	for ; len(data) >= recordSize; data = data[recordSize:] {
		if binary.NativeEndian.Uint16(data) == userProcess {
			entries = append(entries, Entry{User: text(data[userStart:userEnd]), Line: text(data[lineStart:lineEnd])})
		}
	}
	return entries
}
