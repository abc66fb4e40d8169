package crlf

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func TestCopy(t *testing.T) {
	for _, c := range []struct{ in, add, fix, remove string }{
		{"", "", "", ""},
		{"a", "a", "a", "a"},
		{"a\n", "a\r\n", "a\r\n", "a\n"},
		{"a\r\n", "a\r\r\n", "a\r\n", "a\n"},
		{"a\r\r\nb\n\n\r\n\rx\r", "a\r\r\r\nb\r\n\r\n\r\r\n\rx\r", "a\r\r\nb\r\n\r\n\r\n\rx\r", "a\r\nb\n\n\n\rx\r"},
		{"\r", "\r", "\r", "\r"},
	} {
		for rule, want := range map[Rule]string{Add: c.add, Fix: c.fix, Remove: c.remove} {
			var out strings.Builder
			if err := Copy(&out, iotest.OneByteReader(strings.NewReader(c.in)), rule); err != nil || out.String() != want {
				t.Errorf("rule %d, %q: %q, %v, want %q", rule, c.in, out.String(), err, want)
			}
		}
	}
}

func TestCopyErrors(t *testing.T) {
	broken := errors.New("broken")
	var out strings.Builder
	if err := Copy(&out, iotest.ErrReader(broken), Add); err != broken {
		t.Errorf("reader that fails: %v", err)
	}
	full := iotest.TruncateWriter(&out, 0)
	if err := Copy(full, strings.NewReader("x"), Add); err != nil {
		t.Errorf("writer that drops: %v", err)
	}
	if err := Copy(failing{broken}, strings.NewReader("x"), Remove); err != broken {
		t.Errorf("writer that fails: %v", err)
	}
	if err := Copy(failing{broken}, strings.NewReader("\r"), Remove); err != broken {
		t.Errorf("writer that fails at the end: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// FuzzFilter: wherever the stream is divided the result is the same; what Add does
// Remove undoes; Fix leaves no LF bare and changes nothing twice.
func FuzzFilter(f *testing.F) {
	f.Add([]byte("a\r\nb\n\r"), 3)
	f.Add([]byte("\r\r\n"), 1)
	f.Fuzz(func(t *testing.T, text []byte, at int) {
		at = max(0, min(at, len(text)))
		once := map[Rule][]byte{}
		for _, rule := range []Rule{Add, Fix, Remove} {
			whole, parts := NewFilter(rule), NewFilter(rule)
			once[rule] = whole.End(whole.Append(nil, text))
			got := parts.End(parts.Append(parts.Append(nil, text[:at]), text[at:]))
			if !bytes.Equal(got, once[rule]) {
				t.Errorf("rule %d: %q divided at %d gives %q, not %q", rule, text, at, got, once[rule])
			}
		}
		again := func(rule Rule, b []byte) []byte {
			f := NewFilter(rule)
			return f.End(f.Append(nil, b))
		}
		if got := again(Remove, once[Add]); !bytes.Equal(got, text) {
			t.Errorf("%q with CRs is %q, and without %q", text, once[Add], got)
		}
		fixed := once[Fix]
		if bytes.Count(fixed, []byte("\n")) != bytes.Count(fixed, []byte("\r\n")) || !bytes.Equal(again(Fix, fixed), fixed) {
			t.Errorf("%q fixed is %q", text, fixed)
		}
	})
}
