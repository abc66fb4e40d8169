package netstring

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
)

func source(in string) *bufio.Reader { return bufio.NewReaderSize(strings.NewReader(in), 16) }

// read reads one netstring.
func read(from Source) (string, error) {
	r, err := Open(from)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	return string(b), r.Close()
}

func TestRead(t *testing.T) {
	const zeros = "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
	for _, c := range []struct {
		in, text string
		err      error
	}{
		{"0:,", "", nil},
		{"5:hello,", "hello", nil},
		{"3:1:,,more", "1:,", nil},
		{"0005:hello,", "hello", nil},
		{zeros[:98] + "1:x,", "x", nil},
		{zeros[:99] + "1:x,", "", ErrFormat},
		{"", "", io.EOF},
		{"5", "", io.ErrUnexpectedEOF},
		{"5:", "", io.ErrUnexpectedEOF},
		{"5:hell", "", io.ErrUnexpectedEOF},
		{"5:hello", "", io.ErrUnexpectedEOF},
		{"5:hello;", "", ErrFormat},
		{"4:hello,", "", ErrFormat},
		{":,", "", ErrFormat},
		{"-1:,", "", ErrFormat},
		{"+1:x,", "", ErrFormat},
		{" 1:x,", "", ErrFormat},
		{"1 :x,", "", ErrFormat},
		{"1x", "", ErrFormat},
		{"2000000009:", "", io.ErrUnexpectedEOF},
		{"2000000010:", "", ErrTooLong},
		{"200000000x", "", ErrFormat},
		{"2000000001x", "", ErrTooLong},
		{strings.Repeat("9", 90), "", ErrTooLong},
	} {
		if text, err := read(source(c.in)); err != c.err || err == nil && text != c.text {
			t.Errorf("read of %.40q: %q, %v, want %q, %v", c.in, text, err, c.text, c.err)
		}
	}
}

// What is within a netstring ends where that ends.
func TestNested(t *testing.T) {
	for _, c := range []struct {
		in  string
		err error
	}{
		{"6:3:abc,,", nil},
		{"0:,", ErrFormat}, // there is none within
		{"6:4:abc,,", ErrFormat},
		{"6:9:abc,,", ErrFormat},
		{"5:3:abc,,", ErrFormat},
		{"1:3:abc,,", ErrFormat},
		{"6:3:abc;,", ErrFormat},
		{"6:3:ab", io.ErrUnexpectedEOF},
		{"6:3:abc", io.ErrUnexpectedEOF},
		{"6:3", io.ErrUnexpectedEOF},
	} {
		outer, err := Open(source(c.in))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := read(outer); err != c.err || err == nil && text != "abc" {
			// The end of the whole is an end also within.
			t.Errorf("read within %q: %q, %v, want %v", c.in, text, err, c.err)
		}
	}
}

func TestText(t *testing.T) {
	from := source("5:hello,6:worlds,0:,1:x,")
	for _, c := range []struct {
		text string
		fits bool
	}{{"hello", true}, {"", false}, {"", true}, {"x", true}} {
		r, err := Open(from)
		if err != nil {
			t.Fatal(err)
		}
		if text, fits, err := r.Text(5); text != c.text || fits != c.fits || err != nil {
			t.Errorf("Text is %q, %v, %v, want %q, %v", text, fits, err, c.text, c.fits)
		}
	}
	if _, err := Open(from); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// FuzzRead: only what Format would have written is read, but for zeros in front of the
// length; not a byte behind the comma is taken; and cut anywhere it is not read.
func FuzzRead(f *testing.F) {
	f.Add("5:hello,", "x")
	f.Add("003:1:,,rest", "")
	f.Add("99999999999:", "1:x,")
	f.Fuzz(func(t *testing.T, in, text string) {
		from := strings.NewReader(in)
		if got, err := read(from); err == nil {
			taken := in[:len(in)-from.Len()]
			if plain := strings.TrimLeft(taken, "0"); plain != Format(got) && "0"+plain != Format(got) {
				t.Errorf("read %q from %q", got, taken)
			}
		}
		whole := Format(text)
		if int64(len(whole)) != Size(int64(len(text))) {
			t.Errorf("the netstring of %q has %d bytes, not %d", text, len(whole), Size(int64(len(text))))
		}
		if got, err := read(source(whole + in)); got != text || err != nil {
			t.Errorf("%q read back as %q, %v", whole, got, err)
		}
		for n := range len(whole) {
			if got, err := read(source(whole[:n])); err != io.EOF && err != io.ErrUnexpectedEOF {
				t.Errorf("%q cut after %d bytes read as %q, %v", whole, n, got, err)
			}
		}
		outer, err := Open(source(Format(in)))
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		for err == nil {
			var inner string
			if inner, err = read(outer); err == nil {
				again.WriteString(inner)
			}
		}
		if err == io.ErrUnexpectedEOF || again.Len() > len(in) {
			t.Errorf("within %q: %q, %v", in, again.String(), err)
		}
	})
}
