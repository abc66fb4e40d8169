package submission

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"quail/internal/envelope"
)

// read takes one message off a conversation as qmail-queued does.
func read(r *Reader) (message, env string, err error) {
	m, err := io.ReadAll(r.Message())
	if err != nil {
		return string(m), "", err
	}
	var e strings.Builder
	err = envelope.Transfer(&e, bufio.NewReader(r.Envelope()))
	return string(m), e.String(), err
}

func reader(s string) *Reader { return NewReader(bufio.NewReader(strings.NewReader(s))) }

// counted counts the writes that reach it.
type counted struct {
	bytes.Buffer
	writes int
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes++
	return c.Buffer.Write(b)
}

func TestBytes(t *testing.T) {
	var out counted
	w := NewWriter(&out, make([]byte, 100))
	io.WriteString(w, "Subject: x\n")
	io.WriteString(w, "\n")
	w.Envelope()
	io.WriteString(w, "Fa@b\x00Tc@d\x00")
	io.WriteString(w, "\x00")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "M\x00\x00\x0cSubject: x\n\nE\x00\x00\x0bFa@b\x00Tc@d\x00\x00"; got != want || out.writes != 1 {
		t.Errorf("%d writes of %q, want one of %q", out.writes, got, want)
	}
	if got, want := string(Answer{82 << 8, 3<<22 | 77}.Append(nil)), "\x00\x00\x52\x00\x00\x00\x00\x00\x00\xc0\x00\x4d"; got != want {
		t.Errorf("answer %q, want %q", got, want)
	}
}

func TestParseAnswer(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Answer
		err  error
	}{
		{"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40\x00\x01", Answer{0, 1<<22 | 1}, nil},
		{"\x00\x00\x35\x00\x00\x00\x00\x00\x00\x00\x00\x00", Answer{53 << 8, 0}, nil},
		{"\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", Answer{}, ErrFrame},
		{"\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff", Answer{}, ErrFrame},
		{"\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00", Answer{}, ErrFrame},
		{"", Answer{}, io.ErrUnexpectedEOF},
		{"\x00\x00\x00\x00\x00", Answer{}, io.ErrUnexpectedEOF},
	} {
		if got, err := ParseAnswer([]byte(c.in)); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("ParseAnswer(%q) = %v, %v, want %v, %v", c.in, got, err, c.want, c.err)
		}
	}
}

const whole = "M\x00\x00\x02ab" + "M\x00\x00\x01c" + "E\x00\x00\x03Fx\x00" + "E\x00\x00\x04Ty\x00\x00"

func TestReader(t *testing.T) {
	for _, c := range []struct {
		in, message, env string
		err              error
	}{
		{whole, "abc", "Fx\x00Ty\x00", nil},
		{"E\x00\x00\x03F\x00\x00", "", "F\x00", nil},
		{"M\x00\x00\x00" + whole, "", "", ErrFrame},
		{"X\x00\x00\x01a", "", "", ErrFrame},
		{"\x00\x00\x00\x01a", "", "", ErrFrame},
		{"M\x00\x00\x01aE\x00\x00\x01FM\x00\x00\x01a", "a", "", ErrFrame},
		{"M\x00\x00\x01aE\x00\x00\x01F\x00\x00\x00\x01a", "a", "", ErrFrame},
		{"M\x00\x00\x01aE\x00\x00\x01X", "a", "", envelope.ErrFormat},
	} {
		r := reader(c.in)
		message, env, err := read(r)
		if message != c.message || env != c.env || !errors.Is(err, c.err) {
			t.Errorf("%q: %q, %q, %v", c.in, message, env, err)
		}
		if err == nil && !r.Finished() {
			t.Errorf("%q: not finished", c.in)
		}
	}
}

// Who hangs up before the envelope is complete has changed his mind.
func TestReaderCutAnywhere(t *testing.T) {
	for n := range len(whole) {
		if _, _, err := read(reader(whole[:n])); err != io.ErrUnexpectedEOF {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
}

func TestNotFinished(t *testing.T) {
	for _, more := range []string{"M\x00\x00\x01x", "M"} {
		r := reader(whole + more)
		if _, _, err := read(r); err != nil || r.Finished() {
			t.Errorf("finished though %q follows (%v)", more, err)
		}
	}
}

// Whatever is written comes out at the other end, through buffers of any size, one
// message after another.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("Subject: x\n\n"), []byte("a@b"), 100, 7)
	f.Add([]byte(""), []byte(""), 5, 1)
	f.Add(bytes.Repeat([]byte("x"), 3000), []byte("a"), 64, 500)
	f.Fuzz(func(t *testing.T, message, address []byte, size, piece int) {
		address = bytes.ReplaceAll(address, []byte{0}, nil)
		if size < headerSize+1 || size > 1<<16 || piece < 1 || len(address) > envelope.MaxAddress {
			return
		}
		var out bytes.Buffer
		r := NewReader(bufio.NewReader(&out))
		for range 2 {
			w := NewWriter(&out, make([]byte, size))
			for rest := message; len(rest) > 0; {
				n := min(piece, len(rest))
				if k, err := w.Write(rest[:n]); k != n || err != nil {
					t.Fatalf("wrote %d of %d: %v", k, n, err)
				}
				rest = rest[n:]
			}
			w.Envelope()
			w.Write([]byte("F" + string(address) + "\x00\x00"))
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			m, e, err := read(r)
			if m != string(message) || e != "F"+string(address)+"\x00" || err != nil || !r.Finished() {
				t.Fatalf("got %q, %q, %v", m, e, err)
			}
		}
	})
}

// Whatever a client sends, no byte of it is read that is not of a frame's kind, and an
// envelope that is taken for complete was.
func FuzzReader(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("M\xff\xff\xffabc"))
	f.Add([]byte("E\x00\x00\x03F\x00\x00M"))
	f.Fuzz(func(t *testing.T, in []byte) {
		message, env, err := read(reader(string(in)))
		if err != nil {
			return
		}
		// What was read can be said again, and then reads the same.
		var out bytes.Buffer
		w := NewWriter(&out, make([]byte, 50))
		io.WriteString(w, message)
		w.Envelope()
		io.WriteString(w, env+"\x00")
		w.Flush()
		m, e, err := read(NewReader(bufio.NewReader(&out)))
		if m != message || e != env || err != nil {
			t.Errorf("%q read as %q and %q, said again as %q and %q, %v", in, message, env, m, e, err)
		}
	})
}

// Both ends agree on what an answer is.
func FuzzParseAnswer(f *testing.F) {
	f.Add(Answer{53 << 8, 7<<22 | 1}.Append(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := ParseAnswer(in)
		if err == nil && !bytes.Equal(a.Append(nil), in) {
			t.Errorf("%x read as %+v", in, a)
		}
		if err == nil && (a.Status < 0 || a.Number < 0) {
			t.Errorf("%x read as %+v", in, a)
		}
	})
}
