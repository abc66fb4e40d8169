package forwarding

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"quail/internal/cdb"
	"quail/internal/maillist"
)

const testdata = "../../testdata/fastforward/"

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(testdata + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// scan returns the records of a text, printed, or the error.
func scan(r io.Reader) (records []cdb.Record, err error) {
	for record, err := range Scan(r) {
		if err != nil {
			return records, err
		}
		records = append(records, record)
	}
	return records, nil
}

// database returns the file that records become.
func database(t *testing.T, records []cdb.Record) []byte {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "cdb"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := cdb.NewWriter(f)
	for _, r := range records {
		if err := w.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	records, err := scan(bytes.NewReader(read(t, "instructions")))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(database(t, records), read(t, "instructions.cdb")) { // by the C setforward
		t.Errorf("the database is not that of qmail's setforward: %q", records)
	}
	for _, name := range []string{"instructions", "aliases"} {
		file := read(t, name+".cdb")
		var got strings.Builder
		for r, err := range cdb.NewReader(bytes.NewReader(file), int64(len(file))).All() {
			if err != nil {
				t.Fatal(err)
			}
			text, err := Print(r)
			if err != nil {
				t.Errorf("%q: %v", r, err)
			}
			got.WriteString(text)
		}
		if want := read(t, name+".out"); got.String() != string(want) { // by the C printforward
			t.Errorf("%s is printed as\n%s\nwant\n%s", name, got.String(), want)
		}
	}
}

func TestScan(t *testing.T) {
	long := strings.Repeat("x", maillist.MaxAddress)
	for _, c := range []struct{ text, want string }{
		{"", "[] <nil>"},
		{" # nothing", "[] <nil>"},
		{"A:b;", `[{":a" "&b\x00"}] <nil>`},
		{":b;", `[{":" "&b\x00"}] <nil>`},
		{"a:;", "[] <nil>"},
		{"a:,,;", "[] <nil>"},
		{"a:?b;", `[{"?a" "b"}] <nil>`},
		{"a:b,?C,?,|d;", `[{"?a" "C"} {"?a" ""} {":a" "&b\x00|d\x00"}] <nil>`},
		{"a b\n\tc : d e ;", `[{":abc" "&de\x00"}] <nil>`},
		{`a\ b:c\;\\\#,\:;`, `[{":a b" "&c;\\#\x00&:\x00"}] <nil>`},
		{"a#:b;\n:c;", `[{":a" "&c\x00"}] <nil>`},
		{"a\\\n:b;", `[{":a\n" "&b\x00"}] <nil>`},
		{"a", "[] final instruction must end with semicolon"},
		{"a:b", "[] final instruction must end with semicolon"},
		{"a:b\\", "[] final instruction must end with semicolon"},
		{"a:b;c:#;", `[{":a" "&b\x00"}] final instruction must end with semicolon`},
		{"a:b:c;", "[] double colons are not permitted"},
		{"a,b:c;", "[] commas are not permitted before colons"},
		{";", "[] commas are not permitted before colons"},
		{"a:\x00;", "[] NUL bytes are not permitted"},
		{"a:\\\x00;", "[] NUL bytes are not permitted"},
		{"#\x00\na:b;", `[{":a" "&b\x00"}] <nil>`},
		{"a:" + long + ";", `[{":a" "&` + long + `\x00"}] <nil>`},
		{"a:&" + long + ";", "[] addresses over 800 bytes are not permitted"},
	} {
		records, err := scan(strings.NewReader(c.text))
		if got := fmt.Sprintf("%q %v", records, err); got != c.want {
			t.Errorf("%.30q: %.200s, want %.200s", c.text, got, c.want)
		}
		var syntax *SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			t.Errorf("%.30q: the error is not of syntax", c.text)
		}
	}
	_, err := scan(io.MultiReader(strings.NewReader("a:b;c"), iotest.ErrReader(os.ErrClosed)))
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("input that cannot be read: %v", err)
	}
}

func TestPrintRefuses(t *testing.T) {
	for _, r := range []cdb.Record{{Key: "", Value: ""}, {Key: "a", Value: ""}, {Key: ":a", Value: "b\x00"}, {Key: ":a", Value: "&b"}, {Key: ":a", Value: "\x00"}} {
		if text, err := Print(r); err != ErrFormat {
			t.Errorf("%q is printed as %q", r, text)
		}
	}
}

// table returns a Table of records.
func table(records ...cdb.Record) Table {
	return Table{Find: func(key string) ([]byte, bool, error) {
		for _, r := range records {
			if r.Key == key {
				return []byte(r.Value), true, nil
			}
		}
		return nil, false, nil
	}}
}

func TestLookup(t *testing.T) {
	db := table(
		Instructions("Joe@Host", "&exact"), Instructions("@host", "&host"), Instructions("joe@", "&user", "!p"),
		Instructions("plain", "&plain"), Instructions("bad", "x"), Owner("joe@", "O@w"), Owner("nul", "a\x00b"),
	)
	for address, want := range map[string]string{
		"JOE@HOST":   `["&exact"] true <nil>; ["&exact"]; O@w true <nil>`,
		"bob@host":   `["&host"] true <nil>; [];  false <nil>`,
		"joe@other":  `["&user" "!p"] true <nil>; []; O@w true <nil>`,
		"joe@x@host": `["&host"] true <nil>; [];  false <nil>`,
		"plain":      `["&plain"] true <nil>; ["&plain"];  false <nil>`,
		"joe":        `[] false <nil>; [];  false <nil>`,
		"":           `[] false <nil>; [];  false <nil>`,
		"bad":        `[] true bad database format; [];  false <nil>`,
		"nul":        `[] false <nil>; [];  true bad database format`,
	} {
		entries, ok, err := db.Match(address)
		exact, _, _ := db.Entries(address)
		owner, owned, oerr := db.Owner(address)
		if got := fmt.Sprintf("%q %v %v; %q; %s %v %v", entries, ok, err, exact, owner, owned, oerr); got != want {
			t.Errorf("%q: %s, want %s", address, got, want)
		}
	}
	if owned, _ := db.Owned("joe@other"); owned {
		t.Error("an owner of a user at all hosts counts where only the address itself should")
	}
	broken := Table{Find: func(string) ([]byte, bool, error) { return nil, false, cdb.ErrFormat }}
	_, _, err1 := broken.Match("a@b")
	_, _, err2 := broken.Owner("a@b")
	_, err3 := broken.Owned("a@b")
	if err1 == nil || err2 == nil || err3 == nil {
		t.Errorf("a database that cannot be read: %v, %v, %v", err1, err2, err3)
	}
}

// What is scanned is printed as text that scans to the same.
func FuzzScan(f *testing.F) {
	f.Add([]byte("root@a.b: &joe, ?own, |p\\ q; # x\n@b:/l;"))
	f.Add([]byte("a:b:c;"))
	f.Fuzz(func(t *testing.T, text []byte) {
		records, err := scan(bytes.NewReader(text))
		if err != nil {
			return
		}
		var printed strings.Builder
		for _, r := range records {
			text, err := Print(r)
			if err != nil {
				t.Fatalf("%q cannot be printed: %v", r, err)
			}
			printed.WriteString(text)
		}
		again, err := scan(strings.NewReader(printed.String()))
		if err != nil && !errors.Is(err, errTooLong) || err == nil && !slices.Equal(again, records) {
			t.Errorf("%q is printed as %q, which is %q, %v", records, printed.String(), again, err)
		}
	})
}

// Whatever stands in a database, what is found there is something that mail can be
// given to, and no record of an envelope ends in it.
func FuzzLookup(f *testing.F) {
	f.Add([]byte("&a\x00|b\x00/c\x00"), []byte("own@a"), "joe@a")
	f.Fuzz(func(t *testing.T, value, owner []byte, address string) {
		db := Table{Find: func(key string) ([]byte, bool, error) {
			if strings.HasPrefix(key, "?") {
				return owner, true, nil
			}
			return value, true, nil
		}}
		entries, ok, err := db.Match(address)
		if !ok {
			t.Error("not found")
		}
		for _, e := range entries {
			if err != nil || !known(e) || strings.Contains(string(e), "\x00") {
				t.Errorf("found %q, %v", e, err)
			}
		}
		if sender, _, err := db.Owner(address); err == nil && strings.Contains(sender, "\x00") {
			t.Errorf("the owner is %q", sender)
		}
	})
}
