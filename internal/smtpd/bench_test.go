package smtpd

import (
	"strings"
	"testing"
)

// BenchmarkTransaction has one session take transactions up to DATA, all the client's
// commands in one piece.
func BenchmarkTransaction(b *testing.B) {
	home(b, nil, 0)
	in := "EHLO load.example\r\n" + strings.Repeat("MAIL FROM:<sender@load.example>\r\nRCPT TO:<bench@here.example>\r\nRSET\r\n", b.N) + "QUIT\r\n"
	b.ReportAllocs()
	b.ResetTimer()
	out, status := manners[0].converse(b, peer, in, len(in))
	if got, want := strings.Count(out, "\r\n250 "), 3*b.N; got < want || status != 0 {
		b.Errorf("%d of %d commands are taken, status %d", got, want, status)
	}
}
