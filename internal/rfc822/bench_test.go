package rfc822

import "testing"

func BenchmarkParseField(b *testing.B) {
	const field = "To: \"Joe Q. Public\" <john.q.public@example.com>, Mary Smith <mary@x.test>, jdoe@example.org,\n" +
		" Who? <one@y.test>, group: a@b.example, (comment) c@d.example;\n"
	b.SetBytes(int64(len(field)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseField(field, func(a Address) Address { return a }); err != nil {
			b.Fatal(err)
		}
	}
}
