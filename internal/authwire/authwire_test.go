package authwire

import (
	"bufio"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"quail/internal/netstring"
	"quail/internal/sasl"
)

func question(text string) (Question, error) {
	return ReadQuestion(bufio.NewReader(strings.NewReader(text)))
}

func answer(text string) (Answer, error) {
	return ReadAnswer(bufio.NewReader(strings.NewReader(text)))
}

var request = Request{Service: "submission", IP: "2001:db8::1", Local: "192.0.2.1", TLS: true, PlainOK: true,
	Bindings: []sasl.Binding{{Type: "tls-exporter", Data: []byte("\x00:,\xff")}, {Type: "tls-unique", Data: []byte{}}}}

func TestQuestion(t *testing.T) {
	for _, q := range []Question{
		{Verb: Mechanisms, Request: request},
		{Verb: Mechanisms},
		{Verb: Begin, Request: request, Mechanism: "PLAIN", Data: []byte("\x00joe\x00secret")},
		{Verb: Begin, Mechanism: "PLAIN", Data: []byte{}},
		{Verb: Begin, Mechanism: "LOGIN"},
		{Verb: Continue, Data: []byte{}},
		{Verb: Continue, Data: []byte(strings.Repeat("x", MaxData))},
		{Verb: Spend, Request: Request{IP: "::1"}, Login: "joe", Messages: 1, Recipients: maxNumber},
	} {
		got, err := question(string(q.Append(nil)))
		if err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("%+v was read as %+v, %v", q, got, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	for _, a := range []Answer{
		{Kind: Challenge, Data: []byte{}},
		{Kind: Challenge, Data: []byte("a\x00b,")},
		{Kind: Yes, Login: "joe"},
		{Kind: Yes, Login: "joe@example.com", Data: []byte{}},
		{Kind: No, Text: "wrong"},
		{Kind: Later, Text: "x"},
		{Kind: BadFormat},
		Offer([]string{"PLAIN", "LOGIN"}),
		Offer(nil),
	} {
		got, err := answer(string(a.Append(nil)))
		if err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("%+v was read as %+v, %v", a, got, err)
		}
	}
	if names, ok := Offer([]string{"A", "B"}).Offered(); !ok || !slices.Equal(names, []string{"A", "B"}) {
		t.Errorf("offered: %q, %v", names, ok)
	}
	long := Answer{Kind: No, Text: strings.Repeat("x", MaxText+1)}
	if got, err := answer(string(long.Append(nil))); err != nil || len(got.Text) != MaxText {
		t.Errorf("a long text is read as %d bytes, %v", len(got.Text), err)
	}
}

func TestBadForm(t *testing.T) {
	wrap := netstring.Format
	for _, text := range []string{
		"", "?", "Z", "M?1:x,", "Ms", "Ms1", "Ms1:", "Ms1:x", "Ms1:x;", "Ms0:,", "Ms1:x,s1:y,", "Mt1:x,", "Mm5:PLAIN,", "Mbx", "Mb1:x,", "Mb2::x,",
		"M" + strings.Repeat("b2:x:,", MaxBindings+1),
		"B", "Bs1:x,", "Bm0:,", "C", "Cm5:PLAIN,d0:,", "Cd99:x,",
		"S", "Su1:x,n0:,", "Su1:x,n2:01,", "Su1:x,n1:0,", "Su1:x,n2:-1,", "Su1:x,n2:+1,", "Su1:x,n20:99999999999999999999,", "Su1:x,n10:1073741825,",
		"Su" + wrap(strings.Repeat("x", MaxText+1)), "Cd" + wrap(strings.Repeat("x", MaxData+1)),
		strings.Repeat("x", maxMessage+1),
	} {
		if q, err := question(wrap(text)); err != ErrFormat {
			t.Errorf("%.60q was read as %+v, %v", text, q, err)
		}
	}
	for _, text := range []string{"", "+", "yx1:x,", "nd0:,", "+d0:,d0:,", "q"} {
		if a, err := answer(wrap(text)); err != ErrFormat {
			t.Errorf("%q was read as %+v, %v", text, a, err)
		}
	}
	whole := string(Question{Verb: Begin, Request: request, Mechanism: "PLAIN", Data: []byte("x")}.Append(nil))
	for n := range whole {
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if _, err := question(whole[:n]); !errors.Is(err, want) {
			t.Errorf("cut off after %d bytes: %v", n, err)
		}
	}
	// A length beyond all bounds is refused before any of it has come.
	if _, err := question("99999999:"); err != ErrFormat {
		t.Errorf("a very long question: %v", err)
	}
}

func TestAllowed(t *testing.T) {
	all := []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"}
	for _, c := range []struct {
		r    Request
		want string
	}{
		{Request{}, "SCRAM-SHA-256 CRAM-MD5"},
		{Request{PlainOK: true}, "SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN"},
		{Request{TLS: true}, "SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN"},
		{Request{TLS: true, Bindings: request.Bindings}, strings.Join(all, " ")},
	} {
		if got := strings.Join(c.r.Allowed(all), " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.r, got, c.want)
		}
	}
}

// What is read is in form: it comes out the same when it is written and read again, and
// no field of it is longer than it may be.
func FuzzQuestion(f *testing.F) {
	f.Add(string(Question{Verb: Begin, Request: request, Mechanism: "PLAIN", Data: []byte("x")}.Append(nil)))
	f.Add(string(Question{Verb: Spend, Request: request, Login: "x", Messages: 1, Recipients: 2}.Append(nil)))
	f.Add(string(Question{Verb: Continue, Data: []byte{}}.Append(nil)))
	f.Fuzz(func(t *testing.T, text string) {
		q, err := question(text)
		if err != nil {
			return
		}
		if len(q.Data) > MaxData || len(q.Login) > MaxText || len(q.Request.Bindings) > MaxBindings || q.Messages < 0 || q.Recipients < 0 {
			t.Fatalf("%q is out of bounds: %+v", text, q)
		}
		again, err := question(string(q.Append(nil)))
		if err != nil || !reflect.DeepEqual(again, q) {
			t.Errorf("%q was read as %+v, then as %+v, %v", text, q, again, err)
		}
	})
}

// The same of answers; and nothing is a yes that does not say so.
func FuzzAnswer(f *testing.F) {
	for _, a := range []Answer{{Kind: Yes, Login: "joe", Data: []byte("v=")}, {Kind: Challenge, Data: []byte{}}, {Kind: No, Text: "x"}, Offer([]string{"PLAIN"})} {
		f.Add(string(a.Append(nil)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := answer(text)
		if err != nil {
			if a.Kind != 0 {
				t.Errorf("%q is %+v and %v", text, a, err)
			}
			return
		}
		if a.Kind == Yes && !strings.Contains(text, ":y") {
			t.Errorf("%q is a yes", text)
		}
		again, err := answer(string(a.Append(nil)))
		if err != nil || !reflect.DeepEqual(again, a) {
			t.Errorf("%q was read as %+v, then as %+v, %v", text, a, again, err)
		}
	})
}
