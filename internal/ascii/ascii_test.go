package ascii

import "testing"

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"": "", " a~": " a~", "\x1b[2J\x07\r\n\x7f\x00": "?[2J?????", "\xc2\x9b\xff": "???",
	} {
		if got := Printable(s, '?'); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
