package received

import (
	"strings"
	"testing"
	"time"
)

var at = time.Date(2026, 1, 5, 4, 46, 54, 0, time.FixedZone("ahead", 3600)).Add(time.Hour)

func TestDates(t *testing.T) {
	if got, want := Date(at), "5 Jan 2026 04:46:54 -0000"; got != want {
		t.Errorf("Date = %q, want %q", got, want)
	}
	if got, want := Ctime(at), "Mon Jan 05 04:46:54 2026"; got != want {
		t.Errorf("Ctime = %q, want %q", got, want)
	}
}

func TestQueue(t *testing.T) {
	want := "Received: (qmail 3215 invoked by uid 65534); 5 Jan 2026 04:46:54 -0000\n"
	if got := Queue(3215, ByUID(65534), at); got != want {
		t.Errorf("Queue = %q, want %q", got, want)
	}
}

func TestNetwork(t *testing.T) {
	for _, c := range []struct {
		s    Session
		want string
	}{
		{Session{Protocol: "SMTP", Host: "a.example", IP: "192.0.2.1", Local: "mx.example"},
			"Received: from a.example (192.0.2.1)\n  by mx.example with SMTP; 5 Jan 2026 04:46:54 -0000\n"},
		{Session{Protocol: "SMTP", Host: "a.example", IP: "192.0.2.1", Local: "mx.example", Helo: "A.EXAMPLE", HasHelo: true},
			"Received: from a.example (192.0.2.1)\n  by mx.example with SMTP; 5 Jan 2026 04:46:54 -0000\n"},
		{Session{Protocol: "SMTP", Host: "unknown", IP: "2001:db8::1", Local: "[x]", Helo: "b\r\nX: y", HasHelo: true, HasInfo: true},
			"Received: from unknown (HELO b??X:?y) (@2001:db8::1)\n  by [x] with SMTP; 5 Jan 2026 04:46:54 -0000\n"},
		{Session{Protocol: "ESMTPSA", Secrecy: "TLSv1.3 TLS_AES_128_GCM_SHA256", Host: "a.example", IP: "192.0.2.1", Local: "mx.example"},
			"Received: from a.example (192.0.2.1)\n  by mx.example with ESMTPSA (TLSv1.3 TLS_AES_128_GCM_SHA256); 5 Jan 2026 04:46:54 -0000\n"},
		// HELO without a name, and a name that only Unicode thinks the same.
		{Session{Protocol: "SMTP", Host: "k", IP: "::1", Local: "mx.example", HasHelo: true},
			"Received: from k (HELO ) (::1)\n  by mx.example with SMTP; 5 Jan 2026 04:46:54 -0000\n"},
		{Session{Protocol: "SMTP", Host: "k", IP: "::1", Local: "mx.example", Helo: "\u212a", HasHelo: true},
			"Received: from k (HELO ???) (::1)\n  by mx.example with SMTP; 5 Jan 2026 04:46:54 -0000\n"},
	} {
		if got := Network(c.s, at); got != c.want {
			t.Errorf("Network(%+v) =\n%q, want\n%q", c.s, got, c.want)
		}
	}
}

// Whatever the peer sends, the trace is two lines and nothing in it can close
// the comment early.
func FuzzNetwork(f *testing.F) {
	f.Add("h", "he)lo", "info", "1.2.3.4")
	f.Fuzz(func(t *testing.T, host, helo, info, ip string) {
		got := Network(Session{Protocol: "SMTP", Host: host, Helo: helo, HasHelo: true, Info: info, HasInfo: true, IP: ip, Local: "l"}, at)
		if strings.Count(got, "\n") != 2 || strings.Count(got, ")") > 2 || !strings.HasPrefix(got, "Received: from ") {
			t.Errorf("Network made %q", got)
		}
	})
}
