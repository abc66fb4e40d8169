package pop3

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadCommand(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Command
		err  error
		rest string
	}{
		{"RETR 1\r\nLIST\r\n", Command{"retr", "1"}, nil, "LIST\r\n"},
		{"\n", Command{}, nil, ""},
		{"\r\n", Command{}, nil, ""},
		{"Quit\n", Command{"quit", ""}, nil, ""},
		{"PASS   a  b \r\n", Command{"pass", "a  b "}, nil, ""},
		{" user x\n", Command{"", "user x"}, nil, ""},
		{"USER\tx\n", Command{"user\tx", ""}, nil, ""},
		{"USER a\r\r\n", Command{"user", "a\r"}, nil, ""},
		{"USER a\x00b\r\n", Command{"user", "a"}, nil, ""},
		{"PA\x00SS b\r\n", Command{"pa", ""}, nil, ""},
		{"\u212aill\n", Command{"\u212aill", ""}, nil, ""}, // the Kelvin sign is no k
		{"\xff\xfeA\n", Command{"\xff\xfea", ""}, nil, ""},
		{"QUIT", Command{}, io.EOF, ""},
		{"", Command{}, io.EOF, ""},
		{"x" + strings.Repeat("y", MaxLine-1) + "\n", Command{"x" + strings.Repeat("y", MaxLine-1), ""}, nil, ""},
		{"x" + strings.Repeat("y", MaxLine) + "\n", Command{}, ErrLong, "\n"},
	} {
		r := strings.NewReader(c.in)
		got, err := ReadCommand(r)
		if got != c.want || err != c.err {
			t.Errorf("%.40q: %+v, %v, want %+v, %v", c.in, got, err, c.want, c.err)
		}
		if rest, _ := io.ReadAll(r); string(rest) != c.rest {
			t.Errorf("%.40q: %q was left, want %q", c.in, rest, c.rest)
		}
	}
}

// A command is its line in the usual form, takes that line and nothing more, and is
// read again from what it is printed as.
func FuzzReadCommand(f *testing.F) {
	f.Add([]byte("RETR 1\r\nQUIT\r\n"))
	f.Add([]byte("  \x00\r\n\n"))
	f.Add([]byte("\xe2\x84\xaa \xff\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		got, err := ReadCommand(r)
		used := in[:len(in)-r.Len()]
		if err != nil {
			if n := bytes.IndexByte(in, '\n'); n >= 0 && n <= MaxLine {
				t.Fatalf("%q: %v", in, err)
			}
			return
		}
		if bytes.Count(used, []byte("\n")) != 1 || used[len(used)-1] != '\n' || len(used) > MaxLine+1 {
			t.Fatalf("%q: took %q", in, used)
		}
		if strings.ContainsAny(got.Verb, " \n\x00") || strings.ContainsAny(got.Arg, "\n\x00") || strings.HasPrefix(got.Arg, " ") {
			t.Fatalf("%q: %+v", in, got)
		}
		again, err := ReadCommand(strings.NewReader(got.Verb + " " + got.Arg + "\r\n"))
		if len(used) < MaxLine && (again != got || err != nil) {
			t.Fatalf("%q: %+v is read again as %+v, %v", in, got, again, err)
		}
	})
}

func copied(t *testing.T, message string, lines uint64) string {
	t.Helper()
	var out bytes.Buffer
	w := bufio.NewWriterSize(&out, 16)
	if err := Copy(w, strings.NewReader(message), lines); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	return out.String()
}

func TestCopy(t *testing.T) {
	long := strings.Repeat("x", 100000)
	for _, c := range []struct {
		message string
		lines   uint64
		want    string
	}{
		{"", All, "\r\n.\r\n"},
		{"\n", All, "\r\n\r\n.\r\n"},
		{"a", All, "a\r\n\r\n.\r\n"},
		{".", All, "..\r\n\r\n.\r\n"},
		{".\n..\nx.\n", All, "..\r\n...\r\nx.\r\n\r\n.\r\n"},
		{"a\r\n\r\nb\r\n", 0, "a\r\r\n\r\r\nb\r\r\n\r\n.\r\n"}, // no line of it is empty
		{"h\n\nb\n", 0, "h\r\n\r\n\r\n.\r\n"},
		{"h\n\nb", 1, "h\r\n\r\nb\r\n\r\n.\r\n"},
		{"h\n\n1\n2\n3\n", 2, "h\r\n\r\n1\r\n2\r\n\r\n.\r\n"},
		{"h\n\n\n\n3\n", 2, "h\r\n\r\n\r\n\r\n\r\n.\r\n"},
		{"h\n\n1\n", All - 1, "h\r\n\r\n1\r\n\r\n.\r\n"},
		{"a\x00b\n\x00.\n", All, "a\x00b\r\n\x00.\r\n\r\n.\r\n"},
		{"." + long + "\n." + long, All, ".." + long + "\r\n.." + long + "\r\n\r\n.\r\n"},
		{strings.Repeat("x", 16<<10) + ".\n.", All, strings.Repeat("x", 16<<10) + ".\r\n..\r\n\r\n.\r\n"},
		{strings.Repeat("x", 16<<10) + "\n\nb", 0, strings.Repeat("x", 16<<10) + "\r\n\r\n\r\n.\r\n"},
	} {
		if got := copied(t, c.message, c.lines); got != c.want {
			t.Errorf("%.40q, %d: %.60q, want %.60q", c.message, c.lines, got, c.want)
		}
	}
}

func TestCopyFails(t *testing.T) {
	broken := errors.New("broken")
	w := bufio.NewWriter(io.Discard)
	for _, before := range []string{"", "a", "a\n", "a\n\nb"} {
		r := io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken))
		if err := Copy(w, r, All); err != broken {
			t.Errorf("after %q: %v", before, err)
		}
	}
	if err := Copy(bufio.NewWriterSize(failing{}, 16), strings.NewReader(strings.Repeat("x", 100)), All); err != io.ErrClosedPipe {
		t.Errorf("writing: %v", err)
	}
}

// Of a line that has no end no more is read than can be sent: it used to be read for a
// client that had gone.
func TestCopyEndless(t *testing.T) {
	if err := Copy(bufio.NewWriterSize(failing{}, 16), endless{}, All); err != io.ErrClosedPipe {
		t.Errorf("%v", err)
	}
}

// endless is a message of one line.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// A client that takes the text apart by RFC 1939 finds the message, and no message
// can end the text early.
func FuzzCopy(f *testing.F) {
	f.Add([]byte("a\n\n.\n\nb"), uint64(1))
	f.Add([]byte("\r\n.\r\n"), All)
	f.Fuzz(func(t *testing.T, message []byte, lines uint64) {
		got := copied(t, string(message), lines)
		text, ok := strings.CutSuffix(got, "\r\n.\r\n")
		if !ok || text != "" && !strings.HasSuffix(text, "\r\n") {
			t.Fatalf("%q becomes %q", message, got)
		}
		if strings.HasPrefix(got, ".\r\n") || strings.Contains(text+"\r\n", "\r\n.\r\n") {
			t.Fatalf("%q ends early: %q", message, got)
		}
		var back strings.Builder
		for line := range strings.SplitAfterSeq(text, "\r\n") {
			back.WriteString(strings.Replace(strings.TrimPrefix(line, "."), "\r\n", "\n", 1))
		}
		want := string(message)
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if whole := lines == All; whole && back.String() != want || !strings.HasPrefix(want, back.String()) {
			t.Errorf("%q becomes %q", message, got)
		}
	})
}
