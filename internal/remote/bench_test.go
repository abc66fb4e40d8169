package remote

import (
	"strings"
	"testing"
)

// BenchmarkDeliver is a message of 4 KiB by a session that is there already, the
// server in the same process.
func BenchmarkDeliver(b *testing.B) {
	s := (&sink{}).start(b)
	r := s.keeping(b, nil)
	p, _ := job(b, strings.Repeat("A line of the usual length, such as people write in their mail\n", 65))
	b.ReportAllocs()
	b.SetParallelism(10)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if report := perform(b, r, p.Stdin.Name(), 1, errand{"x.test", "a@b", "c@d"}); report != fine {
				b.Errorf("reports %q", report)
			}
		}
	})
}
