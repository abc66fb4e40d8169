package rcpthosts

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"quail/internal/cdb"
	"quail/internal/cdbfile"
	"quail/internal/control"
	"quail/internal/mailaddr"
)

// directory makes a control directory; nil means that there is no such file.
func directory(t *testing.T, rcpthosts *string, more []string) control.Dir {
	t.Helper()
	dir := t.TempDir()
	if rcpthosts != nil {
		if err := os.WriteFile(filepath.Join(dir, "rcpthosts"), []byte(*rcpthosts), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if more != nil {
		draft, err := cdbfile.Create(filepath.Join(dir, "tmp"))
		if err != nil {
			t.Fatal(err)
		}
		for _, domain := range more {
			draft.Add(cdb.Record{Key: domain})
		}
		if err := draft.Finish(); err != nil {
			t.Fatal(err)
		}
		if err := draft.Publish(filepath.Join(dir, "morercpthosts.cdb")); err != nil {
			t.Fatal(err)
		}
	}
	return control.Dir(dir)
}

func TestAllowed(t *testing.T) {
	list := "# comment\nOne.example\n.sub.example  \n\nx@y.example\n"
	empty := ""
	more := []string{"more.example", ".wild.example", ""}
	for _, c := range []struct {
		rcpthosts *string
		more      []string
		address   string
		want      bool
	}{
		{&list, nil, "joe@one.example", true},
		{&list, nil, "joe@ONE.example", true},
		{&list, nil, "joe@two.example", false},
		{&list, nil, "joe@x.one.example", false},
		{&list, nil, "joe@a.sub.example", true},
		{&list, nil, "joe@a.b.SUB.example", true},
		{&list, nil, "joe@sub.example", false},
		{&list, nil, "joe@.sub.example", true},
		{&list, nil, "joe@asub.example", false},
		{&list, nil, "joe@one.example.", false},
		{&list, nil, "joe@one.example@two.example", false}, // the last @ counts
		{&list, nil, "joe@two.example@one.example", true},
		{&list, nil, "joe%two.example@one.example", true},
		{&list, nil, "a@x@y.example", false},
		{&list, nil, "joe@", false},
		{&list, nil, "joe@# comment", false},
		{&list, nil, "joe", true}, // gets a domain of this host's own
		{&list, nil, "", true},
		{&list, more, "joe@one.example", true},
		{&list, more, "joe@More.Example", true},
		{&list, more, "joe@x.more.example", false},
		{&list, more, "joe@x.wild.example", true},
		{&list, more, "joe@wild.example", false},
		{&list, more, "joe@", false}, // even where the database has an empty key
		{&empty, more, "joe@more.example", true},
		{&empty, nil, "joe@one.example", false},
		{nil, nil, "joe@one.example", false},
		{nil, more, "joe@more.example", false},
		{nil, nil, "joe@", false},
		{nil, nil, "joe", true},
	} {
		h, err := Load(directory(t, c.rcpthosts, c.more))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := h.Allowed(c.address); got != c.want || err != nil {
			t.Errorf("lists %v %q: Allowed(%q) = %v, %v, want %v", c.rcpthosts, c.more, c.address, got, err, c.want)
		}
	}
}

// Which line of which list it was.
func TestFind(t *testing.T) {
	list := "One.example\n.sub.example\n"
	h, err := Load(directory(t, &list, []string{"more.example", ".wild.example"}))
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]Match{
		"joe@ONE.example":       {true, "rcpthosts", "one.example"},
		"joe@a.b.sub.example":   {true, "rcpthosts", ".sub.example"},
		"joe@more.example":      {true, "morercpthosts.cdb", "more.example"},
		"joe@deep.wild.example": {true, "morercpthosts.cdb", ".wild.example"},
		"joe@two.example":       {},
		"joe@":                  {},
		"joe":                   {Allowed: true},
	} {
		if got, err := h.Find(address); got != want || err != nil {
			t.Errorf("Find(%q) = %+v, %v, want %+v", address, got, err, want)
		}
	}
}

// What nothing was found for is explained.
func TestWhyNot(t *testing.T) {
	list := "one.example\n"
	for _, c := range []struct {
		list *string
		want string
	}{
		{nil, "there is no control/rcpthosts"},
		{&list, "neither rcpthosts nor morercpthosts.cdb has <Two.example>"},
	} {
		h, err := Load(directory(t, c.list, nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := h.WhyNot("joe@Two.example", func(s string) string { return "<" + s + ">" }); got != c.want {
			t.Errorf("WhyNot says %q, want %q", got, c.want)
		}
	}
}

func TestUnreadable(t *testing.T) {
	empty := ""
	for _, name := range []string{"rcpthosts", "morercpthosts.cdb"} {
		dir := directory(t, &empty, nil)
		os.Remove(filepath.Join(string(dir), name))
		if err := os.Mkdir(filepath.Join(string(dir), name), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil {
			t.Errorf("Load succeeded although %s is a directory", name)
		}
	}
}

// Damage inside the database shows at the lookup, and never as a yes.
func TestDamaged(t *testing.T) {
	list := "listed.example\n"
	dir := directory(t, &list, []string{"more.example"})
	if err := os.Truncate(filepath.Join(string(dir), "morercpthosts.cdb"), 100); err != nil {
		t.Fatal(err)
	}
	h, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := h.Allowed("joe@more.example"); ok || err == nil {
		t.Errorf("Allowed with a damaged database = %v, %v, want an error", ok, err)
	}
	if ok, err := h.Allowed("joe@listed.example"); !ok || err != nil {
		t.Errorf("Allowed for a listed domain = %v, %v, want true", ok, err)
	}
	if err := os.Remove(filepath.Join(string(dir), "morercpthosts.cdb")); err != nil {
		t.Fatal(err)
	}
	if ok, err := h.Allowed("joe@more.example"); ok || err == nil {
		t.Errorf("Allowed after the database went = %v, %v, want an error", ok, err)
	}
}

// FuzzAllowed: whatever the address, a yes means that it has no domain, or that
// the domain is a listed one or ends in a listed ending.
func FuzzAllowed(f *testing.F) {
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rcpthosts"), []byte("one.example\n.sub.example\n"), 0o644); err != nil {
		f.Fatal(err)
	}
	h, err := Load(control.Dir(dir))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("joe@one.example")
	f.Add("joe@x.SUB.example@")
	f.Fuzz(func(t *testing.T, address string) {
		ok, err := h.Allowed(address)
		if err != nil {
			t.Fatal(err)
		}
		lower := strings.ToLower(address)
		plain := strings.HasSuffix(lower, "@one.example") || strings.HasSuffix(lower, ".sub.example")
		if ok && strings.Contains(address, "@") && !plain {
			t.Errorf("Allowed(%q)", address)
		}
	})
}

func TestRecords(t *testing.T) {
	text, err := os.ReadFile("../../testdata/rcpthosts/morercpthosts")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for record, err := range Records(strings.NewReader(string(text))) {
		if err != nil || record.Value != "" {
			t.Errorf("%+v, %v", record, err)
		}
		got = append(got, record.Key)
	}
	want := []string{"example.org", ".foo.bar", "  lead", "example.org", "in ner\tx", "a#b", "last\x00nul", "\x00x", "nolf"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, err := range Records(iotest.ErrReader(io.ErrNoProgress)) {
		if !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("%v, want the error of reading", err)
		}
	}
}

// FuzzRecords: each domain is in the form in which it is looked up, and is found
// again by reading it once more.
func FuzzRecords(f *testing.F) {
	f.Add("Example.ORG \n#c\n\n x\t\n.y")
	f.Fuzz(func(t *testing.T, text string) {
		for record, err := range Records(strings.NewReader(text)) {
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for again := range Records(strings.NewReader(record.Key)) {
				n++
				if again != record {
					t.Errorf("%q was read, and then %q", record.Key, again.Key)
				}
			}
			if n != 1 || mailaddr.Lower(record.Key) != record.Key {
				t.Errorf("%q is %d domains", record.Key, n)
			}
		}
	})
}
