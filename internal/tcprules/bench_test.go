package tcprules

import (
	"testing"

	"quail/internal/cdbfile"
)

// BenchmarkLookup looks for a peer that only the rule for everybody fits.
func BenchmarkLookup(b *testing.B) {
	file, err := cdbfile.Open(testdata + "rules.cdb")
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	b.ReportAllocs()
	for b.Loop() {
		if got, err := Lookup(file.Reader, Peer{IP: "192.0.2.9"}); err != nil || !got.Matched {
			b.Fatal(got, err)
		}
	}
}
