package dottext

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// decode reads text in pieces of the given size, as it might arrive.
func decode(text string, piece int) (d Decoder, stored string, n int, err error) {
	var out []byte
	for n < len(text) && err == nil {
		var took int
		out, took, err = d.Decode(out, []byte(text[n:min(n+piece, len(text))]))
		n += took
	}
	return d, string(out), n, err
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		in, want, rest string
		err            error
	}{
		{".\r\n", "", "", io.EOF},
		{"\r\n.\r\n", "\n", "", io.EOF},
		{"a\r\nb\r\n.\r\nQUIT\r\n", "a\nb\n", "QUIT\r\n", io.EOF},
		{"..\r\n.x\r\na.\r\n.\r\n", ".\nx\na.\n", "", io.EOF},
		// A CR without its LF is a byte like any other.
		{"a\rb\r\n.\r\n", "a\rb\n", "", io.EOF},
		{"a\r\r\r\n.\r\n", "a\r\r\n", "", io.EOF},
		{"\r\r\n.\r\n", "\r\n", "", io.EOF},
		{".\rx\r\n.\r\n", ".\rx\n", "", io.EOF},
		{".\r\r\n.\r\n", ".\r\n", "", io.EOF},
		{".\r.\r\n.\r\n", ".\r.\n", "", io.EOF},
		{"..\r\r\n.\r\n", ".\r\n", "", io.EOF},
		{"a\r.\r\nb\r\n.\r\n", "a\r.\nb\n", "", io.EOF},
		{"\x00\xff\r\n.\r\n", "\x00\xff\n", "", io.EOF},
		// Not ended yet.
		{"", "", "", nil},
		{"a\r\n.", "a\n", "", nil},
		{"a\r\n.\r", "a\n", "", nil},
		{"a\r", "a", "", nil},
		// A bare LF, wherever it is.
		{"\n", "", "", ErrBareLF},
		{"a\n.\r\n", "", ".\r\n", ErrBareLF},
		{"a\r\n.\nb", "a\n", "b", ErrBareLF},
		{"a\r\n.x\nb", "a\n", "b", ErrBareLF},
		{"a\r\n\n", "a\n", "", ErrBareLF},
		{"a\r\n.\r\r\n\n", "a\n.\r\n", "", ErrBareLF},
	} {
		for piece := 1; piece <= len(c.in)+1; piece++ {
			d, got, n, err := decode(c.in, piece)
			if err != c.err || c.in[n:] != c.rest || err != ErrBareLF && got != c.want {
				t.Errorf("%q in pieces of %d: %q, rest %q, %v, want %q, rest %q, %v", c.in, piece, got, c.in[n:], err, c.want, c.rest, c.err)
			}
			if d.Size != int64(len(got)) {
				t.Errorf("%q in pieces of %d: size %d, stored %q", c.in, piece, d.Size, got)
			}
		}
	}
}

func TestHops(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int
	}{
		{"Received: by me\r\nDelivered-To: x\r\n\r\nReceived: y\r\n.\r\n", 2},
		{"rECEIVEd\r\nDELIVEREDx\r\nreceivedness\r\n.\r\n", 3},
		{"Receive\r\nDelivere\r\n received: x\r\nX-Received: x\r\n.\r\n", 0},
		{".Received: x\r\n.\r\n", 0}, // as it was sent, not as it is stored
		{"..\r\nReceived: x\r\n.\r\n", 1},
		{"\r\r\nReceived: x\r\n.\r\n", 1}, // not an empty line
		{"a\rReceived: x\r\n.\r\n", 0},
		{strings.Repeat("Received:\r\n", 120) + ".\r\n", 120},
	} {
		for piece := 1; piece <= 30; piece++ {
			if d, _, _, err := decode(c.in, piece); d.Hops != c.want || err != io.EOF {
				t.Errorf("%q in pieces of %d: %d hops, %v, want %d", c.in, piece, d.Hops, err, c.want)
			}
		}
	}
}

func TestDecodeAfterEnd(t *testing.T) {
	var d Decoder
	d.Decode(nil, []byte(".\r\n"))
	if out, n, err := d.Decode(nil, []byte("x\r\n")); len(out) > 0 || n > 0 || err != io.EOF {
		t.Errorf("after the end: %q, %d, %v", out, n, err)
	}
}

// reference decodes the slow way: it cuts the text into lines by what the rules
// say and looks at each line as a whole. ok is false for a bare LF; ended is
// whether the text had its end; rest is what follows that.
func reference(text string) (stored, rest string, hops int, ended, ok bool) {
	header := true
	for {
		end := strings.IndexByte(text, '\n')
		if end < 0 {
			return stored, "", hops, false, true
		}
		if end == 0 || text[end-1] != '\r' {
			return stored, text[end+1:], hops, false, false
		}
		line := text[:end-1]
		text = text[end+1:]
		lower := strings.ToLower(line)
		switch {
		case line == ".":
			return stored, text, hops, true, true
		case line == "":
			header = false
		case header && (strings.HasPrefix(lower, "received") || strings.HasPrefix(lower, "delivered")):
			hops++
		}
		if strings.HasPrefix(line, ".") && !strings.HasPrefix(line, ".\r") {
			line = line[1:]
		}
		stored += line + "\n"
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\nQUIT\r\n", "\n", ".\rx\r\n.\r\n", ".\r\r\n..\r\n.\r\n", "Received\r\n\r\nReceived\r\n.\r\n"} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, text string, piece int) {
		d, got, n, err := decode(text, max(1, piece))
		want, rest, hops, ended, ok := reference(text)
		switch {
		case len(got) > n:
			t.Fatalf("stored %d bytes of %d", len(got), n)
		case (err == ErrBareLF) == ok, (err == io.EOF) != ended:
			t.Fatalf("%q: error %v, want ended %v, ok %v", text, err, ended, ok)
		case ok && d.Hops != hops:
			t.Fatalf("%q: %d hops, want %d", text, d.Hops, hops)
		case err != nil && text[n:] != rest:
			t.Fatalf("%q: rest %q, want %q", text, text[n:], rest)
		case ended && got != want, !strings.HasPrefix(got, want):
			t.Fatalf("%q is stored as %q, want %q", text, got, want)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	text := []byte(strings.Repeat("A line of the usual length, such as people and programs write in mail.\r\n", 450))
	b.SetBytes(int64(len(text)))
	var d Decoder
	out := make([]byte, 0, len(text)+Slack)
	for b.Loop() {
		out, _, _ = d.Decode(out[:0], text)
	}
	if !bytes.HasSuffix(out, []byte("mail.\n")) {
		b.Fatal("not decoded")
	}
}
