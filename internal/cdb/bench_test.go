package cdb

import (
	"fmt"
	"os"
	"testing"
)

func BenchmarkFind(b *testing.B) {
	f, err := os.CreateTemp(b.TempDir(), "cdb")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := NewWriter(f)
	for i := range 10_000 {
		if err := w.Add(Record{fmt.Sprintf("!user%d\x00", i), "user\x001000\x001000\x00/home/user\x00\x00\x00"}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		b.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	r := NewReader(f, info.Size())
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := r.Find("!user4711\x00"); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
