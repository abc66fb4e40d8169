package mailaddr

import (
	"reflect"
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"joe@example.org", "joe@example.org"},
		{"joe", "joe"},
		{"a b@c", `"a b"@c`},
		{"@h", `""@h`},
		{"a..b@c", `"a..b"@c`},
		{".a@c", `".a"@c`},
		{"a@b@c", `"a@b"@c`},
		{"q\"\\\r\n@c", "\"q\\\"\\\\\\\r\\\n\"@c"},
		{"j\xf6rg@c", "\"j\xf6rg\"@c"},
		{"x@do main", "x@do main"}, // the domain is never touched
		{"#@[]", "#@[]"},
	} {
		if got := Quote(c.in); got != c.want {
			t.Errorf("Quote(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		in, local, domain string
		ok                bool
	}{
		{"a@b@c", "a@b", "c", true},
		{"a", "a", "", false},
		{"a@", "a", "", true},
		{"", "", "", false},
	} {
		if l, d, ok := Split(c.in); l != c.local || d != c.domain || ok != c.ok {
			t.Errorf("Split(%q) = %q, %q, %v", c.in, l, d, ok)
		}
	}
}

func TestSuffixes(t *testing.T) {
	got := Suffixes("a.b.c")
	if want := []string{"a.b.c", ".b.c", ".c"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Suffixes = %q, want %q", got, want)
	}
	if got := Suffixes(""); !reflect.DeepEqual(got, []string{""}) {
		t.Errorf("Suffixes of nothing = %q", got)
	}
}

func TestLower(t *testing.T) {
	if got := Lower("AbC\xc4Z@["); got != "abc\xc4z@[" {
		t.Errorf("Lower = %q", got)
	}
}

// Undoing the quotes of a local part gives it back, whatever it was.
func FuzzQuoteLocal(f *testing.F) {
	f.Add(`a"b\c`)
	f.Fuzz(func(t *testing.T, local string) {
		q := QuoteLocal(local)
		if q == local && local != "" {
			if strings.ContainsAny(local, " \"\\\r\n<>()@,;:[]") {
				t.Errorf("%q was left unquoted", local)
			}
			return
		}
		if len(q) < 2 || q[0] != '"' || q[len(q)-1] != '"' {
			t.Fatalf("QuoteLocal(%q) = %q", local, q)
		}
		var back []byte
		for i := 1; i < len(q)-1; i++ {
			if q[i] == '\\' {
				i++
			}
			back = append(back, q[i])
		}
		if string(back) != local {
			t.Errorf("QuoteLocal(%q) = %q, which reads %q", local, q, back)
		}
	})
}
