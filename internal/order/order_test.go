package order

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func pointer(s string) *string { return &s }

func readOrder(b []byte) (Order, error) { return Read(bufio.NewReader(bytes.NewReader(b))) }

func TestOrder(t *testing.T) {
	for _, o := range []Order{
		{Verb: List},
		{Verb: Show, IDs: []uint64{0, 18446744073709551615}},
		{Verb: Hold, Sender: pointer(""), Recipient: pointer("*@x"), Older: 1, Younger: 1 << 40, DryRun: true},
		{Verb: Delete, All: true},
	} {
		got, err := readOrder(o.Append(nil))
		if err != nil || !reflect.DeepEqual(got, o) {
			t.Errorf("%+v was read as %+v, %v", o, got, err)
		}
	}
}

func TestBadOrder(t *testing.T) {
	for _, text := range []string{
		"\x00", "i1\x00Vlist\x00\x00", "Vlist\x00Vlist\x00\x00", "Vburn\x00a\x00\x00", "Vdelete\x00\x00", "Vdelete\x00d\x00\x00",
		"Vhold\x00i-1\x00\x00", "Vhold\x00i\x00\x00", "Vhold\x00i18446744073709551616\x00\x00", "Vhold\x00o0\x00\x00", "Vhold\x00y-5\x00\x00",
		"Vlist\x00ax\x00\x00", "Vlist\x00?\x00\x00", "Vlist\x00s" + strings.Repeat("x", maxRecord) + "\x00\x00",
		"Vlist\x00" + strings.Repeat("i1\x00", MaxOrder/3) + "\x00",
	} {
		if _, err := readOrder([]byte(text)); err != ErrFormat {
			t.Errorf("%.40q: %v, want %v", text, err, ErrFormat)
		}
	}
	whole := Order{Verb: Hold, IDs: []uint64{5}}.Append(nil)
	for n := range whole {
		if _, err := readOrder(whole[:n]); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut off after %d bytes: %v", n, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	m := Message{ID: 7, State: StateHeld, Size: 12, Birth: 1767588414, Sender: "a@b", Due: [2]int64{5, 6}, Left: 2, Done: 1, Bouncing: true,
		Recipients: []Recipient{{"local", "x y@z", false}, {"", "u@v", true}}, Outcome: Done}
	r := bufio.NewReader(bytes.NewReader(End{111, "no more"}.Append(Message{ID: 8}.Append(m.Append(nil)))))
	for _, want := range []Message{m, {ID: 8}} {
		if got, end, err := ReadAnswer(r); err != nil || end != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v was read as %+v, %v, %v", want, got, end, err)
		}
	}
	if _, end, err := ReadAnswer(r); err != nil || *end != (End{111, "no more"}) {
		t.Errorf("the end is %v, %v", end, err)
	}
	if _, _, err := ReadAnswer(r); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
	for _, bad := range []string{"\x00", "Sx\x00\x00", "i1\x00i2\x00\x00", "ix\x00\x00", "i1\x00E0 \x00", "E0\x00", "E256 \x00", "Ex y\x00", "i1\x00Tx\x00\x00", "i1\x00n1.5\x00\x00"} {
		if m, end, err := ReadAnswer(bufio.NewReader(strings.NewReader(bad))); err != ErrFormat {
			t.Errorf("%q was read as %+v, %v, %v", bad, m, end, err)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		glob, address string
		want          bool
	}{
		{"", "", true}, {"", "x", false}, {"*", "", true}, {"**", "a@b", true}, {"?", "", false}, {"*?", "x", true},
		{"Joe@*.Example", "joe@MAIL.example", true}, {"*@x.example", "a@b@x.example", true}, {"*@x.example", "a@x.example.org", false},
		{"a*b*c", "axxbyybzzc", true}, {"a*b*c", "axxbyybzz", false}, {"a/*", "a/b/c", true}, {"[ab]@c", "a@c", false}, {"[ab]@c", "[AB]@c", true},
		{"\xe9*", "\xe9x", true}, {"\xe9", "\xc9", false},
		{strings.Repeat("a*", 300) + "b", strings.Repeat("a", 3000), false},
	} {
		if got := Match(c.glob, c.address); got != c.want {
			t.Errorf("Match(%.30q, %.30q) = %v", c.glob, c.address, got)
		}
	}
}

func TestAge(t *testing.T) {
	for _, c := range []struct {
		older, younger, age int64
		want                bool
	}{{0, 0, -5, true}, {10, 0, 10, false}, {10, 0, 11, true}, {0, 10, 10, false}, {0, 10, 9, true}, {5, 10, 7, true}, {5, 10, 3, false}} {
		if got := (Order{Older: c.older, Younger: c.younger}).WantsAge(1000, 1000+c.age); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// What is read is in form: it comes out the same when it is written and read again,
// and a change always says what it means.
func FuzzRead(f *testing.F) {
	f.Add([]byte("Vhold\x00i7\x00s*@x\x00r\x00o5\x00y6\x00a\x00d\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := readOrder(b)
		if err != nil {
			return
		}
		if o.Verb.Changes() && !o.Selects() {
			t.Errorf("%+v means no message", o)
		}
		if again, err := readOrder(o.Append(nil)); err != nil || !reflect.DeepEqual(o, again) {
			t.Errorf("%+v became %+v, %v", o, again, err)
		}
	})
}

// The same of answers.
func FuzzReadAnswer(f *testing.F) {
	f.Add([]byte("i7\x00Sheld\x00z1\x00b2\x00Fa@b\x00l3\x00r4\x00n1\x00k1\x00B\x00Tlocal x@y\x00Dremote z\x00odone\x00\x00"))
	f.Add([]byte("E111 no\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, end, err := ReadAnswer(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		again := m.Append(nil)
		if end != nil {
			again = end.Append(nil)
		}
		m2, end2, err := ReadAnswer(bufio.NewReader(bytes.NewReader(again)))
		if err != nil || !reflect.DeepEqual(m, m2) || !reflect.DeepEqual(end, end2) {
			t.Errorf("%+v %v became %+v %v, %v", m, end, m2, end2, err)
		}
	})
}

// A glob that is the address itself, with any stars put in, matches.
func FuzzMatch(f *testing.F) {
	f.Add("joe@me.example", 3, "x")
	f.Fuzz(func(t *testing.T, address string, at int, other string) {
		if strings.ContainsAny(address, "*?") {
			return
		}
		at = min(max(at, 0), len(address))
		if glob := address[:at] + "*" + address[at:]; !Match(glob, address) || !Match(glob, address[:at]+other+address[at:]) {
			t.Errorf("%q does not match %q", glob, address)
		}
	})
}
