package resolve

import (
	"testing"

	"github.com/miekg/dns"
)

// Whatever a server sends: records come out only of an answer to this question,
// have data, and name hosts that can be asked about; and of an answer that was
// cut anywhere nothing comes out at all, least of all a denial.
func FuzzAnswer(f *testing.F) {
	for _, records := range [][]string{
		{"x.example. MX 10 a.example.", "x.example. MX 0 ."},
		{"x.example. CNAME y.example.", "y.example. MX 10 a.example."},
		{"x.example. A 192.0.2.1"},
		{},
	} {
		m := new(dns.Msg).SetQuestion("x.example.", dns.TypeMX)
		m.Id, m.Response = 1, true
		for _, s := range records {
			rr, err := dns.NewRR(s)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint16(len(b)-1))
	}
	q, err := newQuestion("x.example", dns.TypeMX)
	if err != nil {
		f.Fatal(err)
	}
	q.id = 1
	f.Fuzz(func(t *testing.T, packet []byte, at uint16) {
		if !q.mine(packet) {
			return
		}
		m, err := parse(packet)
		if err != nil {
			return
		}
		records, err := q.answers(m)
		if err != nil {
			return
		}
		for _, rr := range records {
			mx, ok := rr.(*dns.MX)
			if !ok {
				t.Fatalf("asked for MX, got %v", rr)
			}
			if _, err := newQuestion(mx.Mx, dns.TypeA); err != nil {
				t.Errorf("host %q cannot be asked about: %v", mx.Mx, err)
			}
		}
		if m.Rcode != 0 || len(m.Ns)+len(m.Extra) > 0 || int(at) >= len(packet) || len(records) == 0 {
			return
		}
		if cut := packet[:at]; q.mine(cut) {
			if m, err := parse(cut); err == nil && len(m.Answer) == 0 {
				t.Errorf("cut at %d, %d records became a denial", at, len(records))
			}
		}
	})
}

// A name that makes a query asks for what it says: read back, it makes the same
// query again.
func FuzzQuestion(f *testing.F) {
	for _, s := range []string{"a.example", `a\.b.`, "", ".", "..", `\`, "\x00\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		q, err := newQuestion(name, dns.TypeA)
		if err != nil {
			return
		}
		if len(q.wire) > 12+255+4 {
			t.Errorf("%q makes a query of %d bytes", name, len(q.wire))
		}
		again, err := newQuestion(q.name, dns.TypeA)
		if err != nil || again.name != q.name {
			t.Errorf("%q became %q, and that %q, %v", name, q.name, again.name, err)
		}
	})
}
