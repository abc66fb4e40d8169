package delivery

import (
	"bufio"
	"strings"
	"testing"
)

func BenchmarkReadRequest(b *testing.B) {
	text := string(Request{Number: 7, Mess: "3/4711", Sender: "sender@load.example", Recipient: "bench@bench.example"}.Append(nil))
	in := strings.NewReader("")
	r := bufio.NewReader(in)
	b.ReportAllocs()
	for b.Loop() {
		in.Reset(text)
		r.Reset(in)
		if _, oversized, err := ReadRequest(r); oversized || err != nil {
			b.Fatal(oversized, err)
		}
	}
}

func BenchmarkReadReport(b *testing.B) {
	text := string(AppendReport(nil, 7, "K127.0.0.1 accepted message./Remote host said: 250 ok 1767588414 qp 4711/"))
	in := strings.NewReader("")
	r := bufio.NewReader(in)
	b.ReportAllocs()
	for b.Loop() {
		in.Reset(text)
		r.Reset(in)
		if _, err := ReadReport(r); err != nil {
			b.Fatal(err)
		}
	}
}
