package maildir

import (
	"strings"
	"testing"
)

// BenchmarkDeliver delivers into the directory for temporary files, which TMPDIR may
// put into memory.
func BenchmarkDeliver(b *testing.B) {
	dir := makeMaildir(b)
	names := &Namer{Now: clock, PID: 42, Host: "h"}
	message := strings.Repeat("x", 4096)
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Deliver(dir, names, nil, strings.NewReader(message)); err != nil {
			b.Fatal(err)
		}
	}
}
