package dottext

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// encode sends message in pieces of the given size.
func encode(message string, piece int) (string, error) {
	var out bytes.Buffer
	e := NewEncoder(&out)
	for len(message) > 0 {
		n := min(piece, len(message))
		if _, err := io.WriteString(e, message[:n]); err != nil {
			return out.String(), err
		}
		message = message[n:]
	}
	err := e.Close()
	return out.String(), err
}

func TestEncode(t *testing.T) {
	for _, c := range []struct {
		in, want string
		err      error
	}{
		{"", ".\r\n", nil},
		{"\n", "\r\n.\r\n", nil},
		{"a\nb\n", "a\r\nb\r\n.\r\n", nil},
		{"a\r\nb\r\n", "a\r\nb\r\n.\r\n", nil},
		{".\n", "..\r\n.\r\n", nil},
		{"..\n.x\na.\n", "...\r\n..x\r\na.\r\n.\r\n", nil},
		{"partial", "partial", ErrPartialLine},
		{".", "..", ErrPartialLine},
		// What the C program sends for a CR, spec "Remote delivery", section 9.
		{"a\rb\n", "a\r\nb\r\n.\r\n", nil},
		{"b\r\r\n", "b\r\n\r\r\n.\r\n", nil},
		{"a\r\r\rb\n", "a\r\n\r\r\nb\r\n.\r\n", nil},
		{"a\r", "a\r\n.\r\n", nil},
		{"a\r\r", "a\r\n\r", ErrPartialLine},
		{"a\r\r\r", "a\r\n\r\r\n.\r\n", nil},
		// What it must not send: a dot alone after a CR.
		{"foo\r.\nQUIT\n", "foo\r\n..\r\nQUIT\r\n.\r\n", nil},
		{"foo\r.\r\nQUIT\n", "foo\r\n..\r\nQUIT\r\n.\r\n", nil},
		{"foo\r\r.\r\nQUIT\n", "foo\r\n\r\n..\r\nQUIT\r\n.\r\n", nil},
		{"\r.\r.\r", "\r\n..\r\n..\r\n.\r\n", nil},
		{"nul\x00 and \xff\n", "nul\x00 and \xff\r\n.\r\n", nil},
	} {
		for piece := 1; piece <= len(c.in)+1; piece++ {
			if got, err := encode(c.in, piece); got != c.want || err != c.err {
				t.Errorf("%q in pieces of %d is sent as %q, %v, want %q, %v", c.in, piece, got, err, c.want, c.err)
			}
		}
	}
}

// One Write of a large message does not keep all of it.
func TestEncoderMemory(t *testing.T) {
	e := NewEncoder(io.Discard)
	e.Write([]byte(strings.Repeat(".line of a message\n", 100000)))
	if limit := 4 * flushAt; cap(e.out) > limit {
		t.Errorf("the encoder holds %d bytes, want at most %d", cap(e.out), limit)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestEncoderReportsWriteError(t *testing.T) {
	e := NewEncoder(broken{})
	if _, err := e.Write([]byte("a\n")); err == nil {
		t.Error("Write succeeded")
	}
	if e.Close() == nil {
		t.Error("Close succeeded after a failed Write")
	}
}

// Whatever the reader takes for a line end, CR LF or CR or LF, the only line of
// one dot is the last.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{"a\n", ".\n", "a\r.\r\n", "\r\r.\n", "a\r\r\r.\r", "..\r\n.\r\n"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, message string, piece int) {
		text, err := encode(message, max(1, piece))
		if whole, _ := encode(message, len(message)+1); text != whole {
			t.Fatalf("%q in pieces of %d is %q, whole %q", message, piece, text, whole)
		}
		if err != nil {
			text += "x\r\n.\r\n" // the line that was not ended, and any further text
		}
		lines := strings.FieldsFunc(strings.ReplaceAll(text, "\r\n", "\n"), func(r rune) bool { return r == '\n' || r == '\r' })
		for i, line := range lines {
			if line == "." && i < len(lines)-1 {
				t.Fatalf("%q is sent as %q, which ends early", message, text)
			}
		}
		if !strings.HasSuffix("\r\n"+text, "\r\n.\r\n") {
			t.Fatalf("%q is sent as %q, which does not end", message, text)
		}
		if strings.Contains(message, "\r") || err != nil {
			return
		}
		var d Decoder
		if back, n, err := d.Decode(nil, []byte(text)); string(back) != message || n != len(text) || err != io.EOF {
			t.Fatalf("%q is sent as %q, which is read as %q, %v", message, text, back, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	message := []byte(strings.Repeat("A line of the usual length, such as people and programs write in mail.\n", 500))
	b.SetBytes(int64(len(message)))
	e := NewEncoder(io.Discard)
	for b.Loop() {
		e.Write(message)
	}
}
