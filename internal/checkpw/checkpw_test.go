package checkpw

import (
	"bytes"
	"strings"
	"testing"
)

func TestRecord(t *testing.T) {
	for _, c := range []struct{ name, password, timestamp, want string }{
		{"joe", "a b ", "<1.2@h>", "joe\x00a b \x00<1.2@h>\x00"},
		{"", "", "", "\x00\x00\x00"},
		{"joe\x00root", "x\x00y", "s", "joe\x00x\x00s\x00"},
	} {
		if got := string(Record(c.name, c.password, c.timestamp)); got != c.want {
			t.Errorf("%q, %q, %q: %q, want %q", c.name, c.password, c.timestamp, got, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		record string
		want   [3]string
		ok     bool
	}{
		{"joe\x00a b\x00<1.2@h>\x00", [3]string{"joe", "a b", "<1.2@h>"}, true},
		{"joe\x00a b\x00<1.2@h>\x00more\x00", [3]string{"joe", "a b", "<1.2@h>"}, true},
		{"\x00\x00\x00", [3]string{}, true},
		{"joe\x00a b\x00<1.2@h>", [3]string{}, false},
		{"joe\x00a b\x00", [3]string{}, false},
		{"", [3]string{}, false},
	} {
		name, password, timestamp, ok := Parse([]byte(c.record))
		if got := [3]string{name, password, timestamp}; got != c.want || ok != c.ok {
			t.Errorf("Parse(%q) = %q, %v", c.record, got, ok)
		}
	}
}

// Whatever the client says, there are three parts, and they are read as they were.
func FuzzRecord(f *testing.F) {
	f.Add("joe", "secret", "<1.2@h>")
	f.Add("joe\x00", "\x00", "")
	f.Fuzz(func(t *testing.T, name, password, timestamp string) {
		b := Record(name, password, timestamp)
		if bytes.Count(b, []byte{0}) != 3 || b[len(b)-1] != 0 {
			t.Errorf("%q", b)
		}
		a, p, c, ok := Parse(b)
		if again := Record(a, p, c); !ok || !bytes.Equal(again, b) || !strings.HasPrefix(name, a) {
			t.Errorf("%q is read as %q, %q, %q, %v", b, a, p, c, ok)
		}
	})
}
