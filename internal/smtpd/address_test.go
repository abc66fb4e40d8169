package smtpd

import (
	"strings"
	"testing"

	"quail/internal/mailaddr"
)

// More are in the sessions.
func TestParsePath(t *testing.T) {
	for _, c := range []struct{ arg, want string }{
		{"", ""},
		{"FROM:", ""},
		{"FROM:<>", ""},
		{"FROM:<a@b>", "a@b"},
		{"FROM:a@b SIZE=1", "a@b"},
		{"a@b", ""},
		{"TO:<a@b", "a@b"},
		{`TO:<"a>b"@c>`, "a>b@c"},
		{`TO:<a\>b@c>`, "a>b@c"},
		{`TO:<"a\"b"@c>`, `a"b@c`},
		{`TO:<a\`, "a"},
		{`TO:"a b"@c d`, "a b@c"},
		{"TO:<@x,@y:a@b>", "a@b"},
		{"TO:<@x>", ""},
		{"TO:@x:a@b", "a@b"},
		{"TO:< a@b >", " a@b "},
	} {
		if got := parsePath(c.arg); got != c.want {
			t.Errorf("parsePath(%q) = %q, want %q", c.arg, got, c.want)
		}
	}
}

// What is quoted as SMTP wants it is read as it was.
func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"", "a@b", `a"b\c d>@e`, "@", "a@b@c", ":", "\r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if got := parsePath(address); len(got) > len(address) {
			t.Errorf("parsePath(%q) = %q, which is longer", address, got)
		}
		_, domain, _ := mailaddr.Split(address)
		if strings.ContainsAny(domain, `<>"\`) {
			return // Quote leaves a domain as it is
		}
		if strings.HasPrefix(mailaddr.Quote(address), "@") {
			return // would be a source route
		}
		if got := parsePath("TO:<" + mailaddr.Quote(address) + "> X"); got != address {
			t.Errorf("%q quoted is read as %q", address, got)
		}
	})
}
