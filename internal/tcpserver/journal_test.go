package tcpserver

import (
	"strings"
	"testing"

	"quail/internal/ucspi"
)

func TestJournal(t *testing.T) {
	var b strings.Builder
	j := &journal{out: &b, verbosity: verbose, limit: 7}
	j.start()
	j.accepted()
	j.opened(21512, "ok", &ucspi.Connection{
		LocalHost: ucspi.Known("lo.cal"), LocalIP: "127.0.0.1", LocalPort: "2600",
		RemoteIP: "127.0.0.1", RemotePort: "46966",
	})
	j.accepted()
	j.opened(21513, "deny", &ucspi.Connection{
		LocalHost: ucspi.Known(strings.Repeat("l", 101)), LocalIP: "::1", LocalPort: "2600",
		RemoteHost: ucspi.Known(`a\040b.x`), RemoteIP: "2001:db8::2", RemotePort: "46966",
		RemoteInfo: ucspi.Known("a:b%c d\n\x7fé" + strings.Repeat("x", 90)),
	})
	j.ended(21512, 768)
	j.dropped(5, "::1")
	j.warn("dropping connection, x")
	j.ended(5, 28416)
	want := `tcpserver: status: 0/7
tcpserver: status: 1/7
tcpserver: pid 21512 from 127.0.0.1
tcpserver: ok 21512 lo.cal:127.0.0.1:2600 :127.0.0.1::46966
tcpserver: status: 2/7
tcpserver: pid 21513 from 2001:db8::2
tcpserver: deny 21513 ` + strings.Repeat("l", 100) + `...:[::1]:2600 a\040b.x:[2001:db8::2]:a?b?c?d????` + strings.Repeat("x", 89) + `...:46966
tcpserver: end 21512 status 768
tcpserver: status: 1/7
tcpserver: pid 5 from ::1
tcpserver: warning: dropping connection, x
tcpserver: end 5 status 28416
tcpserver: status: 0/7
`
	if b.String() != want {
		t.Errorf("got\n%s, want\n%s", b.String(), want)
	}
}

// FuzzAppendClean: a value can neither end its line nor its field, nor fill the log.
func FuzzAppendClean(f *testing.F) {
	f.Add("a:b%c d\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := string(appendClean(nil, s))
		if len(got) > longest+len("...") || len(s) <= longest && len(got) != len(s) {
			t.Errorf("%q has become %q", s, got)
		}
		for _, c := range []byte(got) {
			if c < 33 || c > 126 || c == ':' || c == '%' {
				t.Errorf("%q has become %q", s, got)
			}
		}
	})
}
