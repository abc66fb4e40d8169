package envelope

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

func BenchmarkTransfer(b *testing.B) {
	envelope := "Fsender@load.example\x00" + strings.Repeat("Trecipient@bench.example\x00", 100) + "\x00"
	b.SetBytes(int64(len(envelope)))
	b.ReportAllocs()
	in := strings.NewReader("")
	r := bufio.NewReader(in)
	for b.Loop() {
		in.Reset(envelope)
		r.Reset(in)
		if err := Transfer(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}
