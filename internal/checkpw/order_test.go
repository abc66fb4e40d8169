package checkpw

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestOrder(t *testing.T) {
	for _, record := range [][]byte{{}, Record("joe", "secret", "<1.2@h>"), bytes.Repeat([]byte("x"), MaxRecord)} {
		whole := Order{1<<31 + 5, record}.Append(nil)
		got, err := ReadOrder(bytes.NewReader(whole))
		if err != nil || got.Number != 1<<31+5 || !bytes.Equal(got.Record, record) {
			t.Errorf("%d bytes were read as %d, %v", len(record), len(got.Record), err)
		}
		for n := range whole {
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			if _, err := ReadOrder(bytes.NewReader(whole[:n])); !errors.Is(err, want) {
				t.Errorf("cut off after %d bytes: %v", n, err)
			}
		}
	}
	if _, err := ReadOrder(bytes.NewReader(Order{1, make([]byte, MaxRecord+1)}.Append(nil))); err != errFormat {
		t.Errorf("a long record: %v", err)
	}
}

func TestVerdict(t *testing.T) {
	for code, want := range map[int]Outcome{0: Right, 1: Wrong, 2: Later, 3: Wrong, 11: Later, 12: Wrong, 23: Wrong, 24: Later, 100: Later, 111: Later, 255: Later} {
		if got := OutcomeOf(code); got != want {
			t.Errorf("%d means %c, want %c", code, got, want)
		}
	}
	v := Verdict{1 << 30, Wrong}
	if got, err := ReadVerdict(bytes.NewReader(v.Append(nil))); got != v || err != nil {
		t.Errorf("%v was read as %v, %v", v, got, err)
	}
	for _, bad := range []string{"\x00\x00\x00\x01\x00", "\x00\x00\x00\x01Y"} {
		if got, err := ReadVerdict(bytes.NewReader([]byte(bad))); err != errFormat {
			t.Errorf("%q is %v, %v", bad, got, err)
		}
	}
}

// What is read is what was written, and never more than a program looks at.
func FuzzOrder(f *testing.F) {
	f.Add(Order{7, Record("joe", "x", "")}.Append(nil))
	f.Add(Verdict{7, Right}.Append(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		if o, err := ReadOrder(bytes.NewReader(in)); err == nil && (len(o.Record) > MaxRecord || !bytes.HasPrefix(in, o.Append(nil))) {
			t.Errorf("%x is read as %+v", in, o)
		}
		if v, err := ReadVerdict(bytes.NewReader(in)); err == nil && !bytes.HasPrefix(in, v.Append(nil)) {
			t.Errorf("%x is read as %+v", in, v)
		}
	})
}
