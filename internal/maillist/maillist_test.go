package maillist

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

const testdata = "../../testdata/fastforward/"

// compile does what setmaillist does with a list in text form.
func compile(text string) ([]byte, error) {
	var list []byte
	for line := range strings.Lines(text) {
		e, ok, err := Line(line)
		if err != nil {
			return nil, err
		}
		if ok {
			list = Append(list, e)
		}
	}
	return list, nil
}

func TestGolden(t *testing.T) {
	text, err := os.ReadFile(testdata + "members")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(testdata + "members.bin") // made by the C setmaillist
	if err != nil {
		t.Fatal(err)
	}
	if got, err := compile(string(text)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	printed, err := os.ReadFile(testdata + "members.out") // by the C printmaillist
	if err != nil {
		t.Fatal(err)
	}
	entries, err := Parse(want)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, e := range entries {
		line, err := e.Text()
		if err != nil {
			t.Error(err)
		}
		got.WriteString(line + "\n")
	}
	if got.String() != string(printed) {
		t.Errorf("printed %q, want %q", got.String(), printed)
	}
}

func TestLine(t *testing.T) {
	long := strings.Repeat("x", MaxAddress)
	for _, c := range []struct {
		line string
		want Entry
		err  string
	}{
		{"joe@a.b\n", "&joe@a.b", ""},
		{"&joe@a.b", "&joe@a.b", ""},
		{"&&joe", "&&joe", ""},
		{" joe \t \n", "& joe", ""},
		{"./x \n", "./x", ""},
		{"/x", "/x", ""},
		{"#x", "", ""},
		{" \n", "", ""},
		{"", "", ""},
		{" #x", "& #x", ""},
		{"|program", "&|program", ""},
		{"a\x00b", "", "NUL in input"},
		{"#\x00", "", "NUL in input"},
		{long, Entry("&" + long), ""},
		{"&" + long, "", ErrTooLong.Error()},
		{"/" + long, Entry("/" + long), ""},
	} {
		got, ok, err := Line(c.line)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != c.want || ok != (c.want != "") || text != c.err {
			t.Errorf("%.20q: %q, %v, %q, want %q, %q", c.line, got, ok, text, c.want, c.err)
		}
	}
}

func TestMade(t *testing.T) {
	for _, c := range []struct {
		make func(string) (Entry, error)
		from string
		want Entry
		err  string
	}{
		{Recipient, "a b@c", "&a b@c", ""},
		{Recipient, "", "", "empty recipient addresses not permitted"},
		{Recipient, "a\nb", "", "newlines not permitted in recipient addresses"},
		{Recipient, "a\x00", "", "NUL not permitted in recipient addresses"},
		{Recipient, "a ", "", "spaces and tabs not permitted at ends of addresses"},
		{Recipient, strings.Repeat("a", 801), "", "addresses must be under 800 bytes"},
		{File, "/x", "/x", ""},
		{File, ".x", ".x", ""},
		{File, "x", "./x", ""},
		{File, "", "", "empty :include: filenames not permitted"},
		{File, "/\n", "", "newlines not permitted in :include: filenames"},
	} {
		got, err := c.make(c.from)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != c.want || text != c.err {
			t.Errorf("%.20q: %q, %q, want %q, %q", c.from, got, text, c.want, c.err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		list string
		want int
	}{
		{"", 0},
		{"&a\x00/b\x00.c\x00", 3},
		{"&\x00", 1},
		{"&" + strings.Repeat("x", 898) + "\x00", 1},
		{"&" + strings.Repeat("x", 899) + "\x00", -1},
		{"&a", -1},      // cut off
		{"&a\x00b", -1}, // cut off
		{"\x00", -1},
		{"&a\x00\x00", -1},
		{"|program\x00", -1}, // of a database, not of a list
		{"joe@a.b\n", -1},    // text that nobody compiled
	} {
		entries, err := Parse([]byte(c.list))
		if c.want < 0 && err != ErrFormat || c.want >= 0 && (err != nil || len(entries) != c.want) {
			t.Errorf("%.20q: %q, %v, want %d", c.list, entries, err, c.want)
		}
	}
}

func TestText(t *testing.T) {
	for _, e := range []Entry{"&a\nb", "&a ", "/x\t"} {
		if text, err := e.Text(); err != ErrFormat {
			t.Errorf("%q is printed as %q", e, text)
		}
	}
}

// What is taken for a list is made of its entries and nothing else, and what can be
// printed compiles to the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte("&a@b\x00/c\x00./d\x00"))
	f.Add([]byte("&a@b\x00/c"))
	f.Add([]byte("&a \x00"))
	f.Fuzz(func(t *testing.T, list []byte) {
		entries, err := Parse(list)
		if err != nil {
			return
		}
		if got := Append(nil, entries...); !bytes.Equal(got, list) {
			t.Errorf("%q became %q", list, got)
		}
		for _, e := range entries {
			line, err := e.Text()
			if err != nil || len(e) > MaxAddress {
				continue
			}
			if back, ok, err := Line(line + "\n"); !ok || err != nil || back != e {
				t.Errorf("%q is printed as %q, which is %q, %v", e, line, back, err)
			}
		}
	})
}

// Whatever a line holds, what becomes of it can be stored.
func FuzzLine(f *testing.F) {
	f.Add("joe@a.b \n")
	f.Add("/x")
	f.Fuzz(func(t *testing.T, line string) {
		e, ok, err := Line(line)
		if !ok || err != nil {
			return
		}
		if back, err := Parse(Append(nil, e)); err != nil || len(back) != 1 || back[0] != e {
			t.Errorf("%q: %q, %v", line, back, err)
		}
	})
}
