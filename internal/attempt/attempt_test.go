package attempt

import (
	"bytes"
	"strings"
	"testing"

	"quail/internal/pop3"
)

// Whatever a client can say fits.
func TestMax(t *testing.T) {
	a := Attempt{TLS: true, UTF8: true, Name: strings.Repeat("a", pop3.MaxLine-5), Password: strings.Repeat("b", pop3.MaxLine-5)}
	if got, err := Parse(a.Record()); got != a || err != nil {
		t.Errorf("the longest attempt: %v", err)
	}
}

func TestRecord(t *testing.T) {
	for _, c := range []struct {
		attempt Attempt
		want    string
	}{
		{Attempt{Name: "joe", Password: " a b "}, "\x00joe\x00 a b \x00"},
		{Attempt{TLS: true, Name: "joe", Password: "x"}, "t\x00joe\x00x\x00"},
		{Attempt{TLS: true, UTF8: true}, "tu\x00\x00\x00"},
		{Attempt{UTF8: true, Name: "\xff"}, "u\x00\xff\x00\x00"},
	} {
		record := c.attempt.Record()
		if string(record) != c.want {
			t.Errorf("%+v: %q, want %q", c.attempt, record, c.want)
		}
		if got, err := Parse(record); got != c.attempt || err != nil {
			t.Errorf("%q is read as %+v, %v", record, got, err)
		}
	}
	if got := string(Attempt{Name: "joe\x00root", Password: "\x00x"}.Record()); got != "\x00joe\x00\x00" {
		t.Errorf("with a NUL: %q", got)
	}
}

// A record that has been cut off anywhere is none, nor is one with something behind it.
func TestParse(t *testing.T) {
	whole := "tu\x00joe\x00secret\x00"
	for i := range len(whole) {
		if got, err := Parse([]byte(whole[:i])); err != ErrForm {
			t.Errorf("%q is read as %+v, %v", whole[:i], got, err)
		}
	}
	long := strings.Repeat("x", Max)
	for _, record := range []string{"ut\x00a\x00b\x00", "tt\x00a\x00b\x00", "x\x00a\x00b\x00", "T\x00a\x00b\x00", whole + "\x00", whole + "x",
		whole + whole, "\x00a\x00" + long + "\x00"} {
		if got, err := Parse([]byte(record)); err != ErrForm {
			t.Errorf("%.40q is read as %+v, %v", record, got, err)
		}
	}
}

// What is read as an attempt is the record of that attempt, and no other bytes are.
func FuzzParse(f *testing.F) {
	f.Add([]byte("\x00joe\x00secret\x00"))
	f.Add([]byte("tu\x00\xff\x00\x00"))
	f.Add([]byte("t\x00a\x00b\x00c"))
	f.Fuzz(func(t *testing.T, record []byte) {
		a, err := Parse(record)
		if err != nil {
			if a != (Attempt{}) {
				t.Errorf("%q: %+v with %v", record, a, err)
			}
			return
		}
		if again := a.Record(); !bytes.Equal(again, record) {
			t.Errorf("%q is read as %+v, whose record is %q", record, a, again)
		}
	})
}
