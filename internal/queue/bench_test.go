package queue

import (
	"strings"
	"testing"
)

// BenchmarkEnter puts messages into a queue in the directory for temporary files,
// which TMPDIR may put into memory.
func BenchmarkEnter(b *testing.B) {
	d := newQueue(b)
	message := strings.Repeat("x", 4096)
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Enter(submission(message, goodEnvelope)); err != nil {
			b.Fatal(err)
		}
	}
}
