package cdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// memory is a file in memory, as far as Writer is concerned.
type memory struct {
	data []byte
	pos  int
}

func (m *memory) Write(b []byte) (int, error) {
	m.data = append(m.data[:m.pos], append(bytes.Clone(b), m.data[min(len(m.data), m.pos+len(b)):]...)...)
	m.pos += len(b)
	return len(b), nil
}

func (m *memory) Seek(offset int64, whence int) (int64, error) {
	m.pos = int(offset)
	return offset, nil
}

func build(t testing.TB, records []Record) []byte {
	t.Helper()
	var m memory
	w := NewWriter(&m)
	for _, r := range records {
		if err := w.Add(r); err != nil {
			t.Fatalf("Add(%q): %v", r, err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatalf("Finish: %v", err)
	}
	return m.data
}

func reader(data []byte) *Reader { return NewReader(bytes.NewReader(data), int64(len(data))) }

func all(t testing.TB, r *Reader) []Record {
	t.Helper()
	var records []Record
	for record, err := range r.All() {
		if err != nil {
			t.Fatalf("All: %v", err)
		}
		records = append(records, record)
	}
	return records
}

// The databases in testdata were made by the C tools.
func TestSameAsCdbmake(t *testing.T) {
	for _, c := range []struct {
		file    string
		records int
	}{
		{"cdb/empty.cdb", 0},
		{"cdb/many.cdb", 301},
		{"users/cdb", 17},
		{"tcprules/rules.cdb", 34},
	} {
		data, err := os.ReadFile(filepath.Join("../../testdata", c.file))
		if err != nil {
			t.Fatal(err)
		}
		records := all(t, reader(data))
		if len(records) != c.records {
			t.Errorf("%s: All gave %d records, want %d", c.file, len(records), c.records)
		}
		if !bytes.Equal(build(t, records), data) {
			t.Errorf("%s: the same records gave other bytes", c.file)
		}
		checkFirst(t, reader(data), records)
	}
}

// checkFirst looks every record up: the first of equal keys is what is found.
func checkFirst(t testing.TB, r *Reader, records []Record) {
	t.Helper()
	first := make(map[string]string)
	for _, record := range records {
		if _, ok := first[record.Key]; !ok {
			first[record.Key] = record.Value
		}
	}
	for key, want := range first {
		got, ok, err := r.Find(key)
		if err != nil || !ok || string(got) != want {
			t.Errorf("Find(%q) = %q, %v, %v, want %q", key, got, ok, err, want)
		}
	}
}

func TestFindAbsent(t *testing.T) {
	r := reader(build(t, []Record{{"one", "1"}, {"", "empty"}, {"two\x00", "2"}}))
	for _, key := range []string{"three", "On", "one ", "two", "\x00"} {
		if value, ok, err := r.Find(key); ok || err != nil {
			t.Errorf("Find(%q) = %q, %v, %v, want nothing", key, value, ok, err)
		}
	}
}

// Each case spoils one number of a database that holds "k" under one record, which
// stands at 2048; its table has two slots and follows the record.
func TestMalformed(t *testing.T) {
	good := build(t, []Record{{"k", "value"}})
	header := int(hash("k")%tables) * pairSize
	table := int(binary.LittleEndian.Uint32(good[header:]))
	slot := table + int(hash("k")/tables%2)*pairSize
	for _, c := range []struct {
		what  string
		at    int // where a number is replaced
		value uint32
	}{
		{"table after the end", header, uint32(len(good))},
		{"table far after the end", header, 0xffffffff},
		{"table longer than the file", header + 4, 3},
		{"table of 2^32-1 slots", header + 4, 0xffffffff},
		{"record after the end", slot + 4, uint32(len(good))},
		{"record across the end", slot + 4, uint32(len(good)) - 4},
		{"record far after the end", slot + 4, 0xfffffff8},
		{"value longer than the file", headerSize + 4, uint32(len(good))},
		{"value of 2^32-1 bytes", headerSize + 4, 0xffffffff},
	} {
		data := bytes.Clone(good)
		binary.LittleEndian.PutUint32(data[c.at:], c.value)
		if value, ok, err := reader(data).Find("k"); ok || !errors.Is(err, ErrFormat) {
			t.Errorf("%s: Find = %q, %v, %v, want ErrFormat", c.what, value, ok, err)
		}
	}
	for _, size := range []int{0, 1, header, header + 7, headerSize, slot + 4} {
		if _, ok, err := reader(good[:size]).Find("k"); ok || !errors.Is(err, ErrFormat) {
			t.Errorf("cut at %d: Find = %v, %v, want ErrFormat", size, ok, err)
		}
	}
}

// A table without a free slot must not be searched for ever.
func TestFullTable(t *testing.T) {
	good := build(t, []Record{{"k", "value"}})
	header := int(hash("k")%tables) * pairSize
	table := int(binary.LittleEndian.Uint32(good[header:]))
	for slot := range 2 {
		copy(good[table+slot*pairSize:], pair{hash("k") + 1, headerSize}.appendTo(nil))
	}
	if value, ok, err := reader(good).Find("k"); ok || err != nil {
		t.Errorf("Find = %q, %v, %v, want nothing", value, ok, err)
	}
}

func TestAllMalformed(t *testing.T) {
	good := build(t, []Record{{"a", "1"}, {"b", "2"}})
	for _, c := range []struct {
		what  string
		at    int
		value uint32
		want  int // records before the error
	}{
		{"records end before they begin", 0, headerSize - 1, 0},
		{"records end inside one", 0, headerSize + 11, 1},
		{"records end after the file", 0, uint32(len(good)) + 8, 2},
		{"key longer than the records", headerSize, 100, 0},
		{"value longer than the records", headerSize + 4, 0xffffffff, 0},
	} {
		data := bytes.Clone(good)
		binary.LittleEndian.PutUint32(data[c.at:], c.value)
		var records int
		var last error
		for _, err := range reader(data).All() {
			if last = err; err == nil {
				records++
			}
		}
		if records < c.want || !errors.Is(last, ErrFormat) {
			t.Errorf("%s: %d records, then %v; want at least %d, then ErrFormat", c.what, records, last, c.want)
		}
	}
}

func TestShrunkFile(t *testing.T) {
	data := build(t, []Record{{"k", strings.Repeat("v", 5000)}})
	r := NewReader(bytes.NewReader(data[:3000]), int64(len(data)))
	if _, ok, err := r.Find("k"); ok || !errors.Is(err, ErrFormat) {
		t.Errorf("Find in a file that shrank = %v, %v, want ErrFormat", ok, err)
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error)         { return 0, io.ErrNoProgress }
func (broken) Write([]byte) (int, error)                 { return 0, io.ErrShortWrite }
func (broken) Seek(int64, int) (position int64, e error) { return 0, nil }

func TestErrorsOfTheFileArePassedOn(t *testing.T) {
	if _, _, err := NewReader(broken{}, 5000).Find("k"); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Find: %v, want the error of ReadAt", err)
	}
	w := NewWriter(broken{})
	if err := w.Add(Record{"k", strings.Repeat("v", 10000)}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Add: %v, want the error of Write", err)
	}
	if err := w.Add(Record{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("next Add: %v, want the error of Write again", err)
	}
	if err := w.Finish(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Finish: %v, want the error of Write", err)
	}
}

func TestTooBig(t *testing.T) {
	w := NewWriter(&memory{})
	w.pos = 0xffffffff - 10
	if err := w.Add(Record{"ke", "y"}); !errors.Is(err, ErrTooBig) {
		t.Errorf("Add of 11 bytes where 10 are left: %v, want ErrTooBig", err)
	}
	if err := w.Add(Record{"k", "y"}); err != nil {
		t.Errorf("Add of 10 bytes where 10 are left: %v", err)
	}
	if err := w.Finish(); !errors.Is(err, ErrTooBig) {
		t.Errorf("Finish without room for the tables: %v, want ErrTooBig", err)
	}
}

// FuzzReader: whatever the file, lookups end, and what they return is a record of
// it: the bytes of the value follow those of the key, somewhere in the file.
func FuzzReader(f *testing.F) {
	for _, name := range []string{"cdb/empty.cdb", "users/cdb", "tcprules/rules.cdb"} {
		data, err := os.ReadFile(filepath.Join("../../testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "!joe\x00")
		f.Add(data, "")
	}
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		r := reader(data)
		value, ok, err := r.Find(key)
		if ok && (err != nil || !bytes.Contains(data, append([]byte(key), value...))) {
			t.Errorf("Find(%q) = %q, which is not in the file", key, value)
		}
		size := headerSize
		for record, err := range r.All() {
			if err != nil {
				return
			}
			size += pairSize + len(record.Key) + len(record.Value)
			if size > len(data) {
				t.Fatalf("All: more records than the file has bytes")
			}
		}
	})
}

// FuzzWriter: what is written is read back, in order, by All and by Find.
func FuzzWriter(f *testing.F) {
	f.Add("a=1,b=2,a=3,=,c")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		var records []Record
		for item := range strings.SplitSeq(text, ",") {
			key, value, _ := strings.Cut(item, "=")
			records = append(records, Record{key, value})
		}
		r := reader(build(t, records))
		back := all(t, r)
		if len(back) != len(records) {
			t.Fatalf("wrote %d records, read %d", len(records), len(back))
		}
		for i := range back {
			if back[i] != records[i] {
				t.Errorf("record %d: wrote %q, read %q", i, records[i], back[i])
			}
		}
		checkFirst(t, r, records)
	})
}
