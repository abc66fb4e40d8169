package send

import (
	"testing"

	"quail/internal/queue"
)

// BenchmarkSchedule puts the earliest of 200,000 messages back behind the others.
func BenchmarkSchedule(b *testing.B) {
	var s schedule
	const n = 200_000
	for i := range int64(n) {
		s.add(entry{due: i * 7919 % n, id: queue.ID(i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		e, _ := s.min()
		s.removeMin()
		s.add(entry{due: e.due + n, id: e.id})
	}
}
