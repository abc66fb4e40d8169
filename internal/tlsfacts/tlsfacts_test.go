package tlsfacts

import (
	"bytes"
	"strings"
	"testing"
)

func TestRecord(t *testing.T) {
	for _, c := range []struct {
		facts Facts
		want  string
	}{
		{Facts{"TLSv1.3", "TLS_AES_128_GCM_SHA256", "a.test"}, "TLSv1.3\x00TLS_AES_128_GCM_SHA256\x00a.test\x00"},
		{Facts{"TLSv1.2", "x", ""}, "TLSv1.2\x00x\x00\x00"},
	} {
		record := c.facts.Record()
		if string(record) != c.want {
			t.Errorf("%+v: %q, want %q", c.facts, record, c.want)
		}
		if got, err := Parse(record); got != c.facts || err != nil {
			t.Errorf("%q is read as %+v, %v", record, got, err)
		}
	}
}

// A record that has been cut off anywhere is none, nor is one with something behind it
// or with bytes that do not belong into an environment.
func TestParse(t *testing.T) {
	whole := "TLSv1.3\x00x\x00a.test\x00"
	for i := range len(whole) {
		if got, err := Parse([]byte(whole[:i])); err != ErrForm {
			t.Errorf("%q is read as %+v, %v", whole[:i], got, err)
		}
	}
	for _, record := range []string{whole + "\x00", whole + "x", whole + whole, "\x00x\x00\x00", "x\x00\x00\x00", "a b\x00x\x00\x00",
		"x\x00x\x00a\n\x00", "x\x00x\x00\xff\x00", "x\x00x\x00\x7f\x00", "x\x00x\x00" + strings.Repeat("a", Max) + "\x00"} {
		if got, err := Parse([]byte(record)); err != ErrForm {
			t.Errorf("%.40q is read as %+v, %v", record, got, err)
		}
	}
}

// What is read as facts is the record of those, and no other bytes are.
func FuzzParse(f *testing.F) {
	f.Add([]byte("TLSv1.3\x00TLS_AES_128_GCM_SHA256\x00a.test\x00"))
	f.Add([]byte("TLSv1.2\x00x\x00\x00"))
	f.Add([]byte("x\x00x\x00\n\x00"))
	f.Fuzz(func(t *testing.T, record []byte) {
		facts, err := Parse(record)
		if err != nil {
			if facts != (Facts{}) {
				t.Errorf("%q: %+v with %v", record, facts, err)
			}
			return
		}
		if again := facts.Record(); !bytes.Equal(again, record) {
			t.Errorf("%q is read as %+v, whose record is %q", record, facts, again)
		}
	})
}
