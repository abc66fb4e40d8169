// Package localtime finds the time zone of whoever runs a program, for the one
// program that shows local time: predate.
//
// TZ is the caller's, who may name any file with it. It is therefore for programs
// that have no rights which their caller lacks. What cannot be understood stands for
// UTC, as with the C library.
package localtime

import (
	"encoding/binary"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// systemZone is what holds without TZ. A variable for tests.
var systemZone = "/etc/localtime"

// maxFile bounds the size of a file with a zone. The largest that there are have 4 KB.
const maxFile = 1 << 20

// Zone returns the time zone that a value of TZ stands for: the name of a file of the
// system's database, the path of one, or a rule such as CET-1CEST,M3.5.0,M10.5.0/3.
// An empty one is UTC, and if it is not set the zone is the host's.
func Zone(tz string, set bool) *time.Location {
	if !set {
		return load(systemZone)
	}
	tz = strings.TrimPrefix(tz, ":")
	if strings.HasPrefix(tz, "/") {
		return load(tz)
	}
	if zone, err := time.LoadLocation(tz); err == nil { // "" is UTC
		return zone
	}
	return byRule(tz)
}

func load(path string) *time.Location {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return time.UTC
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return time.UTC
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil || len(data) > maxFile {
		return time.UTC
	}
	return parse(path, data)
}

// parse reads the contents of a file, in the format of RFC 8536.
func parse(name string, data []byte) *time.Location {
	zone, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return time.UTC
	}
	return zone
}

// byRule returns the zone for a rule.
func byRule(rule string) *time.Location {
	if strings.ContainsAny(rule, "\n\x00") {
		return time.UTC
	}
	return parse(rule, tzfile(rule))
}

// tzfile returns the contents of a file for a rule. The library reads one only at the
// end of a file, where it holds for what comes after the last change listed; so there
// is one change, long ago.
func tzfile(rule string) []byte {
	header := func(times uint32) []byte {
		b := append([]byte("TZif2"), make([]byte, 15)...)
		for _, n := range []uint32{0, 0, 0, times, 1, 4} { // no leap seconds; one type; four letters
			b = binary.BigEndian.AppendUint32(b, n)
		}
		return b
	}
	const utc = "\x00\x00\x00\x00\x00\x00UTC\x00"
	data := append(header(0), utc...) // the form with 32 bits, which is passed over
	data = append(data, header(1)...)
	data = binary.BigEndian.AppendUint64(data, 1<<63+1<<55) // negative
	return append(data, "\x00"+utc+"\n"+rule+"\n"...)
}
