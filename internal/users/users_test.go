package users

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"quail/internal/cdb"
	"quail/internal/cdbfile"
	"quail/internal/mailaddr"
)

const testdata = "../../testdata/users/"

// compile makes a database of the text of users/assign.
func compile(t testing.TB, dir, text string) (*cdbfile.File, error) {
	t.Helper()
	name := dir + "/cdb"
	draft, err := cdbfile.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer draft.Discard()
	for record, err := range Assign(strings.NewReader(text)) {
		if err != nil {
			return nil, err
		}
		if err := draft.Add(record); err != nil {
			t.Fatal(err)
		}
	}
	if err := draft.Finish(); err != nil {
		t.Fatal(err)
	}
	file, err := cdbfile.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return file, nil
}

func TestAssignSameAsQmailNewu(t *testing.T) {
	text, err := os.ReadFile(testdata + "assign")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(testdata + "cdb") // made by the C qmail-newu
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, err := compile(t, dir, string(text))
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	if got, err := os.ReadFile(dir + "/cdb"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("users/cdb differs from the one that C makes (%v)", err)
	}
}

func TestAssignFormat(t *testing.T) {
	for _, c := range []struct {
		text string
		good bool
	}{
		{".", true},
		{".\n", true},
		{"=joe:joe:1:2:/h:-:x:\n.", true},
		{"=joe:::::::\n.", true},
		{"=:joe:1:2:/h:-:x:\n.", true},
		{"+:joe:1:2:/h:-:x:\n.", true},
		{"=joe:joe:1:2:/h:-:x:more:and more\n.", true},
		{"=joe:joe:one:two:not a path:-:x:\n.", true},
		{".\nwhatever comes later", true},
		{".:::", true},
		{"", false},
		{"\n.", false},
		{"# no comments\n.", false},
		{"=joe:joe:1:2:/h:-:x:\n", false},
		{"=joe:joe:1:2:/h:-:x:", false},
		{"=joe:joe:1:2:/h:-:x\n.", false},
		{":joe:1:2:/h:-:x:\n.", false},
		{"=joe\n.", false},
		{"=j\x00oe:joe:1:2:/h:-:x:\n.", false},
		{"=joe:joe:1:2:/h:-:x:\x00\n.", false},
		{" .\n", false},
	} {
		file, err := compile(t, t.TempDir(), c.text)
		if err == nil {
			file.Close()
		} else if !errors.Is(err, ErrFormat) {
			t.Errorf("Assign(%q): %v, want ErrFormat", c.text, err)
		}
		if (err == nil) != c.good {
			t.Errorf("Assign(%q): %v, want good = %v", c.text, err, c.good)
		}
	}
}

// What is printed is what Assign reads.
func TestLines(t *testing.T) {
	a := Assignment{"joe", 1001, 100, "/home/joe", "-", "x-"}
	text := a.Exact("joe") + a.Prefix("joe-") + a.Prefix("") + ".\n"
	if want := "=joe:joe:1001:100:/home/joe:-:x-:\n+joe-:joe:1001:100:/home/joe:-:x-:\n+:joe:1001:100:/home/joe:-:x-:\n.\n"; text != want {
		t.Errorf("printed %q, want %q", text, want)
	}
	file, err := compile(t, t.TempDir(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got, ok, err := Lookup(file.Reader, "joe"); got.Assignment != a || !ok || err != nil {
		t.Errorf("joe is %+v, %v, %v, want %+v", got, ok, err, a)
	}
}

func TestAssignReadError(t *testing.T) {
	text := io.MultiReader(strings.NewReader("=joe:joe:1:2:/h:-:x:\n"), iotest.ErrReader(io.ErrNoProgress))
	var last error
	for _, last = range Assign(text) {
	}
	if !errors.Is(last, io.ErrNoProgress) {
		t.Errorf("Assign ended with %v, want the error of reading", last)
	}
}

func TestLookup(t *testing.T) {
	file, err := cdbfile.Open(testdata + "cdb")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lists := func(ext string) Assignment { return Assignment{"lists", 1003, 100, "/home/lists", "-", ext} }
	alias := func(ext string) Assignment { return Assignment{"alias", 7790, 2108, "/var/qmail/alias", "-", ext} }
	for _, c := range []struct {
		local string
		want  Assignment
	}{
		{"joe", Assignment{"joe", 1001, 1001, "/home/joe", "", ""}}, // the first of two
		{"JOE", Assignment{"joe", 1001, 1001, "/home/joe", "", ""}},
		{"joe-", Assignment{"joe", 1001, 1001, "/home/joe", "-", ""}},
		{"joe-x", Assignment{"joe", 1001, 1001, "/home/joe", "-", "x"}},
		{"Joe-X-Y.z", Assignment{"joe", 1001, 1001, "/home/joe", "-", "X-Y.z"}},
		{"joe-info", Assignment{"info", 1002, 1002, "/home/info", "", ""}},
		{"joe-infox", Assignment{"joe", 1001, 1001, "/home/joe", "-", "infox"}},
		{"joe-list-", lists("sub-")},
		{"joe-List-A-b", lists("sub-A-b")},
		{"joe-list", Assignment{"joe", 1001, 1001, "/home/joe", "-", "list"}},
		{"jane.doe", Assignment{"jane", 1004, 1004, "/home/jane", "-", "xdoe"}},
		{"jane", alias("jane")},
		{"upX-a", alias("upX-a")}, // a prefix that ends in a capital never matches
		{"upxa", alias("upxa")},
		{"O'Brien+Tag", Assignment{"obrien", 1006, 1006, "/home/o b", "-", "plus"}},
		{"odd", Assignment{"odd", 1007, 1007, "/home/odd", "", ""}},
		{"unknown", alias("unknown")},
		{"", alias("")},
		{"root", Assignment{"root", 0, 0, "/root", "", ""}},
		{"nobody", Assignment{"nobody", 4294967294, 4294967294, "/", "", ""}},
	} {
		if got, ok, err := Lookup(file.Reader, c.local); got.Assignment != c.want || !ok || err != nil {
			t.Errorf("Lookup(%q) = %+v, %v, %v, want %+v", c.local, got, ok, err, c.want)
		}
	}
	for _, local := range []string{"bad", "none", "neg", "noid"} {
		if got, ok, err := Lookup(file.Reader, local); ok || !errors.Is(err, ErrRecord) {
			t.Errorf("Lookup(%q) = %+v, %v, want ErrRecord", local, got, err)
		}
	}
}

func TestLookupNothing(t *testing.T) {
	file, err := compile(t, t.TempDir(), "=joe:joe:1:2:/h:::\n+jane-:jane:1:2:/h:-::\n.")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, local := range []string{"", "joe-x", "jo", "jane", "jane+x", "-"} {
		if got, ok, err := Lookup(file.Reader, local); ok || err != nil {
			t.Errorf("Lookup(%q) = %+v, %v, want nothing", local, got, err)
		}
	}
}

// Which line of the text it was.
func TestLookupLine(t *testing.T) {
	file, err := compile(t, t.TempDir(), "=Joe-Info:joe:1:2:/h:::\n+joe-:joe:1:2:/h:-::\n+:alias:3:4:/a:-::\n.")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for local, want := range map[string]string{"JOE-info": "=joe-info", "joe-infos": "+joe-", "joe": "+", "": "+"} {
		if got, ok, err := Lookup(file.Reader, local); got.Line != want || !ok || err != nil {
			t.Errorf("Lookup(%q) = %+v, %v, %v, want the line %s", local, got, ok, err, want)
		}
	}
}

// Without the wildchars a database is not one of users.
func TestLookupOtherDatabase(t *testing.T) {
	for _, name := range []string{"../../testdata/cdb/empty.cdb", testdata + "assign"} {
		file, err := cdbfile.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if got, ok, err := Lookup(file.Reader, "joe"); ok || !errors.Is(err, cdb.ErrFormat) {
			t.Errorf("Lookup in %s = %+v, %v, want cdb.ErrFormat", name, got, err)
		}
	}
}

func TestParseRecord(t *testing.T) {
	for _, c := range []struct {
		record string
		want   Assignment
	}{
		{"joe\x001\x002\x00/h\x00-\x00ext\x00", Assignment{"joe", 1, 2, "/h", "-", "ext"}},
		{"\x000\x000\x00\x00\x00\x00", Assignment{}},
		{"joe\x0001\x002\x00/h\x00-\x00ext\x00\nmore\x00", Assignment{"joe", 1, 2, "/h", "-", "ext"}},
	} {
		if got, err := ParseRecord(c.record); got != c.want || err != nil {
			t.Errorf("ParseRecord(%q) = %+v, %v, want %+v", c.record, got, err, c.want)
		}
	}
	for _, record := range []string{
		"",
		"joe",
		"joe\x001\x002\x00/h\x00-\x00ext",      // the last field is not ended
		"joe\x00\x002\x00/h\x00-\x00ext\x00",   // the empty number was root
		"joe\x00x\x002\x00/h\x00-\x00ext\x00",  // so was this
		"joe\x001x\x002\x00/h\x00-\x00ext\x00", // and this was 1
		"joe\x00-1\x002\x00/h\x00-\x00ext\x00",
		"joe\x00+1\x002\x00/h\x00-\x00ext\x00",
		"joe\x00 1\x002\x00/h\x00-\x00ext\x00",
		"joe\x000x1\x002\x00/h\x00-\x00ext\x00",
		"joe\x001_0\x002\x00/h\x00-\x00ext\x00",
		"joe\x001\x004294967295\x00/h\x00-\x00ext\x00", // "leave it as it is" to the kernel
		"joe\x004294967296\x002\x00/h\x00-\x00ext\x00", // 0 in 32 bits
		"joe\x0018446744073709551616\x002\x00/h\x00-\x00ext\x00",
	} {
		if got, err := ParseRecord(record); !errors.Is(err, ErrRecord) {
			t.Errorf("ParseRecord(%q) = %+v, %v, want ErrRecord", record, got, err)
		}
	}
}

func TestRecordRefuses(t *testing.T) {
	for _, a := range []Assignment{
		{User: "a\x00b"},
		{Ext: "a\x00"},
		{Dash: "\x00"},
		{UID: -1},
		{GID: 1 << 32},
		{UID: 1<<32 - 1},
	} {
		if record, err := a.Record(); !errors.Is(err, ErrRecord) {
			t.Errorf("%+v.Record() = %q, %v, want ErrRecord", a, record, err)
		}
	}
}

// FuzzRecord: what parses prints to bytes that parse to the same.
func FuzzRecord(f *testing.F) {
	f.Add("joe\x001\x002\x00/h\x00-\x00ext\x00")
	f.Add("joe\x00001\x002\x00/h\x00-\x00ext\x00trailing")
	f.Fuzz(func(t *testing.T, record string) {
		a, err := ParseRecord(record)
		if err != nil {
			return
		}
		printed, err := a.Record()
		if err != nil {
			t.Fatalf("%+v was parsed and cannot be printed: %v", a, err)
		}
		if back, err := ParseRecord(printed); back != a || err != nil {
			t.Errorf("%+v printed and parsed is %+v, %v", a, back, err)
		}
	})
}

// FuzzAssign compares a lookup in the database with reading the text line by line.
func FuzzAssign(f *testing.F) {
	text, err := os.ReadFile(testdata + "assign")
	if err != nil {
		f.Fatal(err)
	}
	for _, local := range []string{"joe", "joe-x", "joe-list-x", "upX-", "nobody", "neg", ""} {
		f.Add(string(text), local)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text, local string) {
		file, err := compile(t, dir, text)
		if err != nil {
			return
		}
		defer file.Close()
		wantRecord, wantOK := search(text, local)
		want, wantErr := Assignment{}, error(nil)
		if wantOK {
			want, wantErr = ParseRecord(wantRecord)
		}
		got, ok, err := Lookup(file.Reader, local)
		if got.Assignment != want || ok != (wantOK && wantErr == nil) || (err != nil) != (wantErr != nil) {
			t.Errorf("Lookup(%q) = %+v, %v, %v; the text says %+v, %v, %v", local, got, ok, err, want, wantOK, wantErr)
		}
	})
}

// search finds the record for local in a text that is known to be good.
func search(text, local string) (record string, ok bool) {
	lower := mailaddr.Lower(local)
	var wild, best string
	bestLength := -1
	var lines [][2]string
	for line := range strings.Lines(text) {
		if line[0] == '.' {
			break
		}
		name, rest, _ := strings.Cut(line, ":")
		f := strings.SplitN(rest, ":", 7)
		lines = append(lines, [2]string{name, strings.Join(f[:6], "\x00")})
		if name[0] == '+' && len(name) > 1 {
			wild += name[len(name)-1:]
		}
	}
	for _, l := range lines {
		prefix := mailaddr.Lower(l[0][1:])
		if l[0][0] != '+' {
			if prefix == lower {
				return l[1] + "\x00", true
			}
			continue
		}
		reachable := prefix == "" || strings.IndexByte(wild, prefix[len(prefix)-1]) >= 0
		if reachable && strings.HasPrefix(lower, prefix) && len(prefix) > bestLength {
			best, bestLength = l[1]+local[len(prefix):]+"\x00", len(prefix)
		}
	}
	return best, bestLength >= 0
}
