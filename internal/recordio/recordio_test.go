package recordio

import (
	"bytes"
	"strings"
	"testing"
)

func TestRecord(t *testing.T) {
	for _, c := range []struct{ piece, want string }{
		{"ab\nlong", "7 < ab \n7 < long+\n"},
		{"\n", "7 <  \n"},
		{"a\r\n", "7 < a\r \n"},
		{"a\n\nb\n", "7 < a \n7 <  \n7 < b \n"},
		{"", "7 < [EOF]\n"},
		{strings.Repeat("x", 256), "7 < " + strings.Repeat("x", 256) + "+\n"},
	} {
		var log strings.Builder
		if got := record(&log, "7 < ")([]byte(c.piece)); string(got) != c.piece || log.String() != c.want {
			t.Errorf("%q: passes on %q and says %q, want %q", c.piece, got, log.String(), c.want)
		}
	}
}

// FuzzRecord: all that passed can be put together again from the lines.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("ab\nlong"))
	f.Add([]byte(" \n+\n"))
	f.Fuzz(func(t *testing.T, piece []byte) {
		if len(piece) == 0 {
			return
		}
		var log bytes.Buffer
		record(&log, "1 > ")(piece)
		var got []byte
		for line := range bytes.Lines(log.Bytes()) {
			text, ok := bytes.CutPrefix(line, []byte("1 > "))
			if !ok {
				t.Fatalf("line %q", line)
			}
			if whole, ok := bytes.CutSuffix(text, []byte(" \n")); ok {
				got = append(append(got, whole...), '\n')
			} else if part, ok := bytes.CutSuffix(text, []byte("+\n")); ok {
				got = append(got, part...)
			} else {
				t.Fatalf("line %q", line)
			}
		}
		if !bytes.Equal(got, piece) {
			t.Errorf("%q is shown as %q", piece, log.Bytes())
		}
	})
}
