package envelope

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

const good = "Fa@b\x00Tc@d\x00T\x00Te\x00\x00"

func transfer(in string) (string, error) {
	var out bytes.Buffer
	err := Transfer(&out, bufio.NewReader(strings.NewReader(in)))
	return out.String(), err
}

func TestTransfer(t *testing.T) {
	long := strings.Repeat("x", MaxAddress)
	for _, c := range []struct {
		in, out string
		err     error
	}{
		{good, "Fa@b\x00Tc@d\x00T\x00Te\x00", nil},
		{"F\x00\x00", "F\x00", nil},
		{good + "Tlate@h\x00\x00", "Fa@b\x00Tc@d\x00T\x00Te\x00", nil},
		{"F" + long + "\x00T" + long + "\x00\x00", "F" + long + "\x00T" + long + "\x00", nil},
		{"F" + long + "x\x00\x00", "", ErrTooLong},
		{"Fa\x00T" + long + "x\x00\x00", "Fa\x00", ErrTooLong},
		{"Ta\x00\x00", "", ErrFormat},
		{"\x00", "", ErrFormat},
		{"Fa\x00Fb\x00\x00", "Fa\x00", ErrFormat},
	} {
		if out, err := transfer(c.in); out != c.out || !errors.Is(err, c.err) {
			t.Errorf("Transfer(%.40q) = %.40q, %v, want %.40q, %v", c.in, out, err, c.out, c.err)
		}
	}
}

func TestTransferCutAnywhere(t *testing.T) {
	for n := range len(good) {
		if out, err := transfer(good[:n]); err != io.ErrUnexpectedEOF || !strings.HasPrefix(good, out) {
			t.Errorf("cut after %d bytes: %q, %v", n, out, err)
		}
	}
}

func TestNumber(t *testing.T) {
	for text, want := range map[string]int{"77": 77, "7x": 7, "": 0, "-1": 0, "x7": 0, strings.Repeat("9", 30): math.MaxInt} {
		if got := (Record{'p', text}).Number(); got != want {
			t.Errorf("Number of %q is %d, want %d", text, got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		status int
		custom string
		want   Result
	}{
		{0, "", ""},
		{11, "", "Denvelope address too long for qq (#5.1.3)"},
		{20, "", "Dqq permanent problem (#5.3.0)"},
		{2, "", "Zqq temporary problem (#4.3.0)"},
		{111, "", "Zqq temporary problem (#4.3.0)"},
		{82, "Dno thanks", "Dno thanks"},
		{82, "D", "Zqq temporary problem (#4.3.0)"},
		{53, "Dno thanks", "Zqq write error or disk full (#4.3.0)"},
	} {
		if got := Explain(c.status, c.custom); got != c.want {
			t.Errorf("Explain(%d, %q) = %q, want %q", c.status, c.custom, got, c.want)
		}
	}
}

// Whatever a caller writes, what reaches todo is one F record and whole T
// records, each within the limit, and reading it back loses nothing.
func FuzzTransfer(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("F\x00\x00"))
	f.Add([]byte("Fx\x00Tu0\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := transfer(string(in))
		r := bufio.NewReader(strings.NewReader(out))
		var back strings.Builder
		for n := 0; ; n++ {
			rec, err := ReadRecord(r)
			if err == io.EOF {
				break
			}
			want := byte('T')
			if n == 0 {
				want = 'F'
			}
			if err != nil || rec.Type != want || len(rec.Text) > MaxAddress {
				t.Fatalf("record %d of %q: %q, %v", n, out, rec, err)
			}
			back.WriteString(rec.String())
		}
		if back.String() != out {
			t.Errorf("%q read back as %q", out, back.String())
		}
		if err == nil && out == "" {
			t.Error("accepted an envelope without a sender")
		}
	})
}
