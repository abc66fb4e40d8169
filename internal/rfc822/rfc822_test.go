package rfc822

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestTokenize(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Token
	}{
		{"", nil},
		{" \t\r\n", nil},
		{"a.b@c", []Token{{Atom, "a"}, {Dot, ""}, {Atom, "b"}, {At, ""}, {Atom, "c"}}},
		{"<a>,;:", []Token{{Left, ""}, {Atom, "a"}, {Right, ""}, {Comma, ""}, {Semi, ""}, {Colon, ""}}},
		{`"a \"b\" c"`, []Token{{Quoted, `a "b" c`}}},
		{`""[]()`, []Token{{Quoted, ""}, {Literal, ""}, {Comment, ""}}},
		{"[1.2]", []Token{{Literal, "1.2"}}},
		{`[a\]b]`, []Token{{Literal, "a]b"}}},
		{"(a(b)c)d", []Token{{Comment, "abc"}, {Atom, "d"}}},
		{`(\))`, []Token{{Comment, ")"}}},
		{`a\,b`, []Token{{Atom, "a,b"}}},
		{`a\\b`, []Token{{Quoted, `a\b`}}},
		{"a)b]c", []Token{{Quoted, "a)b]c"}}},
		{"j\xf6rg", []Token{{Quoted, "j\xf6rg"}}},
		{"a\x01", []Token{{Quoted, "a\x01"}}},
		{`a\`, []Token{{Atom, "a"}}},
		{`\`, []Token{{Quoted, ""}}},
		{`a"b"c`, []Token{{Atom, "a"}, {Quoted, "b"}, {Atom, "c"}}},
	} {
		if got, err := Tokenize(c.in); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("Tokenize(%q) = %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}

func TestTokenizeErrors(t *testing.T) {
	for _, in := range []string{`"`, `"a`, `"a\`, `"a\"`, "(", "(a", "(()", `(\`, `(\)`, "[", "[a", `[\`, `[\]`, ")", "a )", "]", "a ]"} {
		if got, err := Tokenize(in); err != ErrSyntax {
			t.Errorf("Tokenize(%q) = %q, %v", in, got, err)
		}
	}
}

func names(t testing.TB) Names {
	t.Helper()
	n, err := NewNames("dh", "def.org", "ex.net")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNewNamesErrors(t *testing.T) {
	for _, c := range []struct{ host, domain, plus, want string }{
		{"(", "d", "p", "@("},
		{"h", ")", "p", ".)"},
		{"h", "d", "[", ".["},
	} {
		_, err := NewNames(c.host, c.domain, c.plus)
		var field *FieldError
		if !errors.As(err, &field) || field.Text != c.want || !errors.Is(err, ErrSyntax) {
			t.Errorf("NewNames(%q, %q, %q): %v", c.host, c.domain, c.plus, err)
		}
	}
}

func TestRewrite(t *testing.T) {
	n := names(t)
	for _, c := range []struct{ in, header, envelope string }{
		{"a", "a@dh.def.org", "a@dh.def.org"},
		{"q@host", "q@host.def.org", "q@host.def.org"},
		{"z@host+", "z@host.ex.net", "z@host.ex.net"},
		{"w@a.b+", "w@a.b.ex.net", "w@a.b.ex.net"},
		{"lit@[1.2.3.4]", "lit@[1.2.3.4]", "lit@[1.2.3.4]"},
		{"x@[]", "x@[]", "x@[]"},
		{"[]", "[]@dh.def.org", "[]@dh.def.org"},
		{"@r1,@r2:rt@h2", "rt@h2.def.org", "rt@h2.def.org"},
		{"@r:", "", ""},
		{"@r", "", ""},
		{"x@h.", "x@h.def.org", "x@h.def.org"},
		{"x@h+.", "x@h.ex.net", "x@h.ex.net"},
		{"x@", "x@dh.def.org", "x@dh.def.org"},
		{"x@.", "x@dh.def.org", "x@dh.def.org"},
		{"", "", ""},
		{".", "", ""},
		{`"a b"@c.d`, `"a b"@c.d`, "a b@c.d"},
		{`a@"c.d"`, `a@"c.d".def.org`, "a@c.d.def.org"}, // a quoted dot is no dot
		{`a@"c+"`, `a@"c+".def.org`, "a@c+.def.org"},    // nor a quoted plus a plus
	} {
		tokens, err := Tokenize(c.in)
		if err != nil {
			t.Fatal(err)
		}
		a := n.Rewrite(tokens)
		envelope, err := a.Envelope()
		if a.String() != c.header || envelope != c.envelope || err != nil {
			t.Errorf("%q is rewritten as %q, %q, %v, want %q, %q", c.in, a, envelope, err, c.header, c.envelope)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for _, c := range []struct{ in, header string }{
		{"", ""},
		{"a@b", "a@b"},
		{"<a>@b", `"<a>"@b`},
		{"a@b@c (d)", `"a@b"@c (d)`},
		{"a b", `"a b"`},
	} {
		if a, err := ParseAddress(c.in); a.String() != c.header || err != nil {
			t.Errorf("ParseAddress(%q) = %q, %v, want %q", c.in, a, err, c.header)
		}
	}
	if a, err := ParseAddress("a@(b"); err != ErrSyntax {
		t.Errorf("%q, %v", a, err)
	}
}

func TestEnvelopeRefuses(t *testing.T) {
	for _, text := range []string{"a\x00b", "a\nb", "\x00", "\n"} {
		for _, kind := range []Kind{Atom, Quoted, Literal} {
			if got, err := (Address{{kind, text}}).Envelope(); err != ErrSyntax || got != "" {
				t.Errorf("%c %q: %q, %v", kind, text, got, err)
			}
		}
	}
}

// parse reads a field with the names of these tests.
func parse(t testing.TB, field string) (printed string, found []string, err error) {
	n := names(t)
	printed, err = ParseField(field, func(a Address) Address {
		a = n.Rewrite(a)
		envelope, _ := a.Envelope()
		found = append(found, envelope)
		return a
	})
	return printed, found, err
}

func TestParseField(t *testing.T) {
	for _, c := range []struct {
		in, want string
		found    []string
	}{
		{"To : a\n", "To: a@dh.def.org\n", []string{"a@dh.def.org"}},
		{"tO:a@b.c", "tO: a@b.c\n", []string{"a@b.c"}},
		{"To: \n", "To:\n", nil},
		{"To: a, b.c@d\n", "To: a@dh.def.org, b.c@d.def.org\n", []string{"b.c@d.def.org", "a@dh.def.org"}},
		{"To: djb fred\n", "To: djb@dh.def.org, fred@dh.def.org\n", []string{"fred@dh.def.org", "djb@dh.def.org"}},
		{"To: ,,\n", "To: , ,\n", nil},
		{"To: (c1) com(c2)@(c3)h(c4)\n", "To: com@h.def.org (c1) (c2) (c3) (c4)\n", []string{"com@h.def.org"}},
		{"To: g: a, b;, c\n", "To: g: a@dh.def.org, b@dh.def.org;, c@dh.def.org\n", []string{"c@dh.def.org", "b@dh.def.org", "a@dh.def.org"}},
		{"To: g:,;\n", "To: g: , ;\n", nil},
		{"To: X <>, y\n", "To: X <>, y@dh.def.org\n", []string{"y@dh.def.org", ""}},
		{"To: a;b\n", "To: a@dh.def.org;, b@dh.def.org\n", []string{"b@dh.def.org", "a@dh.def.org"}},
		{"To: J. R\xf6 <j@h>\n", "To: J.\"R\xf6\" <j@h.def.org>\n", []string{"j@h.def.org"}},
	} {
		got, found, err := parse(t, c.in)
		if got != c.want || !slices.Equal(found, c.found) || err != nil {
			t.Errorf("%q: %q, %q, %v, want %q, %q", c.in, got, found, err, c.want, c.found)
		}
	}
}

func TestParseFieldErrors(t *testing.T) {
	for _, c := range []struct {
		in    string
		found []string
	}{
		{"To: a, b: c, d\n", []string{"d@dh.def.org", "c@dh.def.org"}},
		{"To: a;b;c\n", []string{"c@dh.def.org", "b@dh.def.org"}},
		{"To: a> b, c\n", []string{"c@dh.def.org", "b@dh.def.org", "a@dh.def.org"}},
		{"To: a, b(\n", nil},
	} {
		got, found, err := parse(t, c.in)
		var field *FieldError
		if got != "" || !slices.Equal(found, c.found) || !errors.As(err, &field) || field.Text != c.in {
			t.Errorf("%q: %q, %q, %v, want %q", c.in, got, found, err, c.found)
		}
		if want := "unable to parse this line:\n" + strings.TrimSuffix(c.in, "\n"); err.Error() != want {
			t.Errorf("%q: %q", c.in, err)
		}
	}
}

// 78 columns with the comma fit, 79 do not; the first element stays.
func TestFold(t *testing.T) {
	word := func(n int) string { return strings.Repeat("x", n-4) + "@b.c" }
	for _, c := range []struct{ in, want string }{
		{"To: a@b.c," + word(66) + ",d@e.f", "To: a@b.c, " + word(66) + ",\n  d@e.f\n"},
		{"To: a@b.c," + word(67) + ",d@e.f", "To: a@b.c,\n  " + word(67) + ", d@e.f\n"},
		{"To: a@b.c," + word(67), "To: a@b.c, " + word(67) + "\n"},
		{"To: a@b.c," + word(68), "To: a@b.c,\n  " + word(68) + "\n"},
		{"To: " + word(99) + ",d@e.f", "To: " + word(99) + ",\n  d@e.f\n"},
		{"To: " + word(99) + ",", "To: " + word(99) + ",\n"},
		{"To: a@b.c," + word(99) + ",d@e.f", "To: a@b.c,\n  " + word(99) + ",\n  d@e.f\n"},
	} {
		if got, _, err := parse(t, c.in); got != c.want || err != nil {
			t.Errorf("%q: %q, %v, want %q", c.in, got, err, c.want)
		}
	}
}

// scan reads a whole message.
func scan(r io.Reader) (fields []string, body string, err error) {
	s := NewScanner(r)
	for s.Next() {
		fields = append(fields, s.Field())
	}
	if s.Err() != nil {
		return fields, "", s.Err()
	}
	b, err := io.ReadAll(s.Body())
	return fields, string(b), err
}

func TestScanner(t *testing.T) {
	for _, c := range []struct {
		in     string
		fields []string
		body   string
	}{
		{"", nil, ""},
		{"\n", nil, "\n"},
		{"\nb", nil, "\nb\n"},
		{"A: b", []string{"A: b\n"}, ""},
		{"A: b\nC:d\n", []string{"A: b\n", "C:d\n"}, ""},
		{"A: b\n c\n\td\nE:\n\nf\n\ng", []string{"A: b\n c\n\td\n", "E:\n"}, "\nf\n\ng\n"},
		{"A: b\n ", []string{"A: b\n \n"}, ""},
		{"A: b\nno field\nC: d\n", []string{"A: b\n"}, "\nno field\nC: d\n"},
		{" A: b\n", nil, "\n A: b\n"},
		{": b\n", nil, "\n: b\n"},
		{"A b: c\n", nil, "\nA b: c\n"},
		{"A \t: b\n", []string{"A \t: b\n"}, ""},
		{"A\x7f: b\n", nil, "\nA\x7f: b\n"},
		{"A: b\r\n\r\nc\r\n", []string{"A: b\r\n"}, "\n\r\nc\r\n"},
		{"From a b\nC: d\n", []string{"MBOX-Line: From a b\n", "C: d\n"}, ""},
		{"C: d\nFrom a b\n e\n\n", []string{"C: d\n", "MBOX-Line: From a b\n e\n"}, "\n"},
		{"From: a\nFrom : b\n", []string{"From: a\n", "MBOX-Line: From : b\n"}, ""},
		{"A: b\n\nbody without end", []string{"A: b\n"}, "\nbody without end\n"},
	} {
		for name, r := range map[string]io.Reader{
			"at once": strings.NewReader(c.in), "by bytes": iotest.OneByteReader(strings.NewReader(c.in)),
			"with its end": iotest.DataErrReader(strings.NewReader(c.in)),
		} {
			fields, body, err := scan(r)
			if !slices.Equal(fields, c.fields) || body != c.body || err != nil {
				t.Errorf("%q %s: %q, %q, %v, want %q, %q", c.in, name, fields, body, err, c.fields, c.body)
			}
		}
	}
}

func TestScannerLongLines(t *testing.T) {
	field := "A: " + strings.Repeat("x", 3<<20) + "\n"
	fields, body, err := scan(strings.NewReader(field + field + "\nb\n"))
	if !slices.Equal(fields, []string{field, field}) || body != "\nb\n" || err != nil {
		t.Errorf("%d fields, body of %d bytes, %v", len(fields), len(body), err)
	}
	// A first line that is no field, however long, is body and is not kept.
	long := strings.Repeat("x", 2*MaxHeader)
	s := NewScanner(strings.NewReader(long))
	if s.Next() || s.Err() != nil {
		t.Fatalf("field of %d bytes, %v", len(s.Field()), s.Err())
	}
	if n, err := io.Copy(io.Discard, s.Body()); n != int64(len(long)+2) || err != nil {
		t.Errorf("body of %d bytes, %v", n, err)
	}
}

// endless repeats its text for ever.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = e.text[e.at%len(e.text)]
		e.at++
	}
	return len(b), nil
}

func TestScannerLimit(t *testing.T) {
	for _, text := range []string{"X:x", "X: y\n", "X:\n "} {
		if fields, _, err := scan(&endless{text: text}); err != ErrTooLong {
			t.Errorf("%d fields of %q: %v", len(fields), text, err)
		}
	}
}

func TestScannerReadError(t *testing.T) {
	for _, in := range []string{"", "A", "A: b", "A: b\n", "A: b\n ", "A: b\n\n", "A: b\n\nc"} {
		r := io.MultiReader(strings.NewReader(in), iotest.ErrReader(iotest.ErrTimeout))
		if _, _, err := scan(r); err != iotest.ErrTimeout {
			t.Errorf("after %q: %v", in, err)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct{ in, name, value string }{
		{"Subject: x: y\n", "Subject", " x: y"},
		{"To \t:\n a\n", "To", "\n a"},
		{"none", "none", ""},
	} {
		if name, value := Split(c.in); name != c.name || value != c.value {
			t.Errorf("Split(%q) = %q, %q", c.in, name, value)
		}
	}
}

// faithful reports whether printing the tokens can give them back: an atom loses
// the backslashes before special characters and blanks, and a line feed gains a
// blank.
func faithful(tokens []Token) bool {
	for _, t := range tokens {
		if t.Kind == Atom && strings.ContainsAny(t.Text, specials+blanks) || strings.Contains(t.Text, "\n") {
			return false
		}
	}
	return true
}

// Reading what was printed gives the same tokens.
func FuzzTokenize(f *testing.F) {
	f.Add(`a "b" (c(d)) [e] <f@g>, h: i;`)
	f.Add(`a\,b "\"" \( (\)) [\]]`)
	f.Fuzz(func(t *testing.T, in string) {
		tokens, err := Tokenize(in)
		if err != nil {
			return
		}
		printed := Address(tokens).String()
		back, err := Tokenize(printed)
		if faithful(tokens) && (err != nil || !slices.Equal(back, tokens)) {
			t.Errorf("%q is printed %q, which reads %q, %v, not %q", in, printed, back, err, tokens)
		}
	})
}

// A printed field is one field, of one shape: reading and printing it again changes
// nothing, and finds the same addresses. No address can be two records.
func FuzzParseField(f *testing.F) {
	for _, s := range []string{"a, b <c@d>", "g: a, b;, c", "\"a\n b\"@c\\", "<a<b>>", "x (c) <@r:y>", "\x00@\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		fields, _, err := scan(strings.NewReader("To: " + value))
		if err != nil || len(fields) == 0 {
			return
		}
		read := func(field string) (string, []Address, error) {
			var found []Address
			printed, err := ParseField(field, func(a Address) Address {
				if e, err := a.Envelope(); err == nil && strings.ContainsAny(e, "\x00\n") {
					t.Errorf("envelope address %q", e)
				}
				found = append(found, slices.Clone(a))
				return a
			})
			return printed, found, err
		}
		printed, found, err := read(fields[0])
		if err != nil {
			return
		}
		if again, body, _ := scan(strings.NewReader(printed + "\n")); len(again) != 1 || again[0] != printed || body != "\n" {
			t.Fatalf("%q is printed %q, which scans as %q, %q", value, printed, again, body)
		}
		for _, a := range found {
			if !faithful(a) {
				return
			}
		}
		twice, same, err := read(printed)
		if tokens, _ := Tokenize(value); !faithful(tokens) {
			return
		}
		if err != nil || twice != printed || !reflect.DeepEqual(same, found) {
			t.Errorf("%q is printed %q, then %q, %v; addresses %q, then %q", value, printed, twice, err, found, same)
		}
	})
}

// Reading a message does not depend on how it arrives, and what was read reads the
// same again.
func FuzzScanner(f *testing.F) {
	f.Add("A: b\n c\n\nd")
	f.Add("From x\nA : b\nno\n")
	f.Add(": \n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		fields, body, err := scan(strings.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		slow, slowBody, err := scan(iotest.OneByteReader(strings.NewReader(in)))
		if err != nil || !slices.Equal(slow, fields) || slowBody != body {
			t.Errorf("%q: %q, %q, but by bytes %q, %q, %v", in, fields, body, slow, slowBody, err)
		}
		whole := strings.Join(fields, "") + body
		again, againBody, err := scan(strings.NewReader(whole))
		if err != nil || !slices.Equal(again, fields) || againBody != body {
			t.Errorf("%q: %q, %q, then %q, %q, %v", in, fields, body, again, againBody, err)
		}
		kept := strings.ReplaceAll(whole, "MBOX-Line: ", "")
		if len(kept) > len(in)+2 || len(whole) < len(in) {
			t.Errorf("%q became %q", in, whole)
		}
	})
}
