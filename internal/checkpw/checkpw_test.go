package checkpw

import (
	"bytes"
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

// Whatever the client says, there are three parts.
func FuzzRecord(f *testing.F) {
	f.Add("joe", "secret", "<1.2@h>")
	f.Add("joe\x00", "\x00", "")
	f.Fuzz(func(t *testing.T, name, password, timestamp string) {
		b := Record(name, password, timestamp)
		if bytes.Count(b, []byte{0}) != 3 || b[len(b)-1] != 0 {
			t.Errorf("%q", b)
		}
	})
}
