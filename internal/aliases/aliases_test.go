package aliases

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"quail/internal/forwarding"
	"quail/internal/maillist"
)

var names = Names{Host: "me.example", Domain: "me.example", Plus: "plus.example"}

// describe shows an item: * stands for an @ outside quotes, < for an :include:.
func describe(items []Item) string {
	var out []string
	for _, i := range items {
		text := fmt.Sprintf("%q", i.Text)
		if i.Host {
			text += "*"
		}
		if i.Included {
			text += "<"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"", ``},
		{"(comment)\n", ``},
		{"joe", `"joe"`},
		{`\joe`, `"joe"`},
		{"a, b c;d:e", `"e" "d" "c" "b" "a"`},
		{"a@b.c (x) , (y) d@e\n", `"d@e"* "a@b.c"*`},
		{`"a b"@c "a@b"`, `"a@b" "a b@c"*`},
		{"Joe Shmoe <joe@a>", `"joe@a"*`},
		{"a Joe <joe> b", `"b" "joe"`},
		{"a, Joe. Q @ X <joe>", `"joe" "a"`},
		{"<@a,@b:c@d>", `"@a,@b:c@d"*`},
		{"<>", `""`},
		{"<a(b)c>", `"ac"`},
		{`"|prog -x a,b", joe`, `"joe" "|prog -x a,b"`},
		{`|prog`, `"|prog"`},
		{`|"prog -x", joe`, `"joe" "|prog -x"`},
		{`| "prog -x"`, `"|prog -x"`},
		{`|"a" "b"`, `"b" "|a"`},
		{`x|"a"`, `"a" "x|"`},
		{`"|" "a"`, `"a" "|"`},
		{"/file", `"/file"`},
		{":include:/a/b.c", `"/a/b.c"<`},
		{": include : /a/b, x", `"x" "/a/b"<`},
		{`:include:"/a b"`, `"/a b"<`},
		{":include:/a b", `"b" "/a"<`},
		{":include:", `""<`},
		{"a:include:b", `"b"< "a"`},
		{":Include:b", `"b" "Include"`},
		{`:"include":b`, `"b" "include"`},
		{"list: :include:/x", `"/x"< "list"`},
		{"j@[1.2]", `"j@[1.2]"*`},
		{"a.\nb", `"a.b"`},
		{"a b@", `"b@"* "a"`},
		{`a"`, `unable to parse this line: a"`},
		{"a>", `unable to parse this line: a>`},
		{")a", `unable to parse this line: )a`},
		{"a(\n", `unable to parse this line: a(`},
		{"<a", `"<a"`},
	} {
		items, err := Parse(c.line)
		got := describe(items)
		if err != nil {
			got = err.Error()
		}
		if got != c.want || err != nil && !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %s, want %s", c.line, got, c.want)
		}
	}
}

func TestComplete(t *testing.T) {
	for _, c := range []struct {
		item Item
		want string
	}{
		{Item{Text: "joe"}, "joe@me.example"},
		{Item{Text: "joe+"}, "joe+@me.example"},
		{Item{Text: "a@b"}, "a@b@me.example"}, // quoted
		{Item{Text: "joe@h", Host: true}, "joe@h.me.example"},
		{Item{Text: "j.e@h", Host: true}, "j.e@h.me.example"},
		{Item{Text: "joe@h+", Host: true}, "joe@h.plus.example"},
		{Item{Text: "joe@h.x", Host: true}, "joe@h.x"},
		{Item{Text: "joe@", Host: true}, "joe@me.example"},
		{Item{Text: "@", Host: true}, "@me.example"},
	} {
		if got := names.Complete(c.item); got != c.want {
			t.Errorf("%v: %s, want %s", c.item, got, c.want)
		}
	}
	short := Names{Host: "h", Domain: "d", Plus: "p"}
	for text, want := range map[string]string{"joe": "joe@h.d", "joe@x+": "joe@x.p"} {
		if got := short.Complete(Item{Text: text, Host: strings.Contains(text, "@")}); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	for _, c := range []struct{ text, plain, continued string }{
		{"", `[]`, `[]`},
		{"a\nb\n", `["a\n" "b\n"]`, `["a\n" "b\n"]`},
		{"a\nb", `["a\n" "b"]`, `["a\n" "b"]`},
		{"#a\n b\nc\n", `[" b\n" "c\n"]`, `["c\n"]`},
		{"a\n\n b\n\tc\n\nd\n", `["a\n" "\n" " b\n" "\tc\n" "\n" "d\n"]`, `["a\n b\n\tc\n" "d\n"]`},
		{" a\n b", `[" a\n" " b"]`, `[" a\n b"]`},
		{"a\n#b\n", `["a\n"]`, `["a\n"]`},
		{"a\n#b\n c", `["a\n" " c"]`, `["a\n"]`},
		{"\n\n", `["\n" "\n"]`, `[]`},
	} {
		var plain, continued []string
		for line := range Lines(strings.NewReader(c.text)) {
			plain = append(plain, line)
		}
		for line := range Continued(iotest.OneByteReader(strings.NewReader(c.text))) {
			continued = append(continued, line)
		}
		if got := fmt.Sprintf("%q", plain); got != c.plain {
			t.Errorf("%q: lines %s, want %s", c.text, got, c.plain)
		}
		if got := fmt.Sprintf("%q", continued); got != c.continued {
			t.Errorf("%q: continued %s, want %s", c.text, got, c.continued)
		}
	}
	for _, err := range Lines(iotest.ErrReader(os.ErrClosed)) {
		if err != os.ErrClosed {
			t.Errorf("lines that cannot be read: %v", err)
		}
	}
	for _, err := range Continued(iotest.ErrReader(os.ErrClosed)) {
		if err != os.ErrClosed {
			t.Errorf("lines that cannot be read: %v", err)
		}
	}
}

func TestRecords(t *testing.T) {
	long := strings.Repeat("x", 790)
	for _, c := range []struct{ line, want string }{
		{"root: joe, bob@x.y", `[{":root@" "&bob@x.y\x00&joe@me.example\x00"}]`},
		{"Root joe", `[{":root@" "&joe@me.example\x00"}]`},
		{"root: joe@", `[{":root@" "&joe@me.example\x00"}]`},
		{"@v.e: joe", `[{":@v.e" "&joe@me.example\x00"}]`},
		{"r@: joe", "unable to parse this line: r@: joe"}, // r@joe
		{`w: "|a b", joe, |c`, `[{":w@" "!c\x00!a b\x00&joe@me.example\x00"}]`},
		{"l: :include:x, :include:/y", `[{":l@" "/y.bin\x00./x.bin\x00"}]`},
		{"owner-l: o", `[{"?l@" "owner-l@me.example"} {":owner-l@" "&o@me.example\x00"}]`},
		{"owner-L@v.e: o", `[{"?l@v.e" "owner-L@v.e"} {":owner-l@v.e" "&o@me.example\x00"}]`},
		{"(nothing)", `[]`},
		{"root:", "unable to parse this line: root:"},
		{`"|a"`, `unable to parse this line: "|a"`},
		{"a: <>", "empty recipient addresses not permitted"},
		{"a: /b", "file delivery /b not supported"},
		{"a: :include:", "empty :include: filenames not permitted"},
		{"a: b\x00", "NUL not permitted in addresses, programs and filenames"},
		{"a: " + long, maillist.ErrTooLong.Error()},
		{long + ": a", maillist.ErrTooLong.Error()},
	} {
		records, err := names.Records(c.line)
		got := fmt.Sprintf("%q", records)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%.30q: %s, want %s", c.line, got, c.want)
		}
	}
}

func TestIncluded(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"a, b@c.d <e>", `["&e@me.example" "&a@me.example"]`},
		{"a, <>, :include:x", `["./x" "&a@me.example"]`},
		{"", `[]`},
		{"|a", "program delivery |a not supported"},
		{"/a", "file delivery /a not supported"},
		{"a\x00", "NUL not permitted in addresses, programs and filenames"},
		{`"a`, `unable to parse this line: "a`},
		{"\"a\nb\"", "newlines not permitted in recipient addresses"},
		{strings.Repeat("x", 800), maillist.ErrTooLong.Error()},
	} {
		entries, err := names.Included(c.line)
		got := fmt.Sprintf("%q", entries)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%.30q: %s, want %s", c.line, got, c.want)
		}
	}
}

// Items that are printed with quotes around everything are read as the same.
func FuzzParse(f *testing.F) {
	f.Add(`root: "|a b", Joe <joe@x>, :include:/x, \joe [1] (c)`)
	f.Add(`|"a"`)
	f.Fuzz(func(t *testing.T, line string) {
		items, err := Parse(line)
		if err != nil {
			return
		}
		var quoted []string
		for _, i := range slices.Backward(items) {
			if i.Host {
				return
			}
			text := `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(i.Text) + `"`
			if i.Included {
				text = ":include:" + text
			}
			quoted = append(quoted, text)
		}
		again, err := Parse(strings.Join(quoted, ","))
		if err != nil || !slices.Equal(again, items) {
			t.Errorf("%s is %q, which is %s, %v", describe(items), quoted, describe(again), err)
		}
	})
}

// Whatever a file says, what is compiled is what fastforward takes.
func FuzzCompile(f *testing.F) {
	f.Add([]byte("root: joe, \"|a\"\n\nowner-l: x@y\n :include:/z\n#c"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for line := range Continued(bytes.NewReader(text)) {
			records, err := names.Records(line)
			if err != nil {
				continue
			}
			for _, r := range records {
				db := forwarding.Table{Find: func(key string) ([]byte, bool, error) { return []byte(r.Value), key == r.Key, nil }}
				address := r.Key[1:]
				_, entries, err1 := db.Entries(address)
				_, owner, err2 := db.Owner(address)
				if entries == owner || err1 != nil || err2 != nil {
					t.Errorf("%q became %q: %v, %v", line, r, err1, err2)
				}
				if _, err := forwarding.Print(r); err != nil {
					t.Errorf("%q became %q, which cannot be printed", line, r)
				}
			}
		}
		for line := range Lines(bytes.NewReader(text)) {
			entries, err := names.Included(line)
			if err != nil {
				continue
			}
			if back, err := maillist.Parse(maillist.Append(nil, entries...)); err != nil || !slices.Equal(back, entries) {
				t.Errorf("%q became %q, which is %q, %v", line, entries, back, err)
			}
		}
	})
}

// The administrator compiles a user's file, and reads what is wrong with it: an escape
// in that used to reach the terminal.
func TestErrorsAreShown(t *testing.T) {
	var names Names
	for _, line := range []string{"a@b \x1b]0;x\x07 \"open\n", "\"/file\x1b[2J\"\n", "\"|prog\x1b[2J\"\n"} {
		_, err := names.Included(line)
		if err == nil || strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Errorf("%q: %q", line, err)
		}
	}
}
