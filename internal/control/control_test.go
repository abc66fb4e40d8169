package control

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// dir makes a control directory with the given files.
func dir(t *testing.T, files map[string]string) Dir {
	t.Helper()
	d := t.TempDir()
	for name, contents := range files {
		if err := os.WriteFile(filepath.Join(d, name), []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Dir(d)
}

func TestLine(t *testing.T) {
	d := dir(t, map[string]string{"me": "host.example \t\nrest", "empty": "", "cr": " x\r\n"})
	for _, c := range []struct {
		file, want string
		set        bool
	}{
		{"me", "host.example", true},
		{"empty", "", true},
		{"cr", " x\r", true}, // neither CR nor leading blanks are stripped
		{"absent", "", false},
	} {
		if got, set, err := d.Line(c.file); got != c.want || set != c.set || err != nil {
			t.Errorf("Line(%s) = %q, %v, %v, want %q, %v", c.file, got, set, err, c.want, c.set)
		}
	}
	if got, _ := d.LineOr("helohost", "word"); got != "host.example" {
		t.Errorf("LineOr fell back to %q, want me", got)
	}
	if got, _ := d.LineOr("empty", "word"); got != "" {
		t.Errorf("LineOr of an empty file = %q, want it empty", got)
	}
}

// Whatever becomes of me in between, the files that it stands in for agree.
func TestLines(t *testing.T) {
	d := dir(t, map[string]string{"me": "old.example\n", "plusdomain": "plus.example\n"})
	lines := Lines{Dir: d}
	for _, c := range []struct{ name, want string }{
		{"defaulthost", "old.example"}, {"plusdomain", "plus.example"}, {"defaultdomain", "old.example"},
	} {
		if got, err := lines.Or(c.name, "word"); got != c.want || err != nil {
			t.Errorf("%s is %q, %v, want %q", c.name, got, err, c.want)
		}
		if err := os.WriteFile(string(d)+"/me", []byte("new.example\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	absent := Lines{Dir: dir(t, nil)}
	for range 2 {
		if got, err := absent.Or("defaulthost", "word"); got != "word" || err != nil {
			t.Errorf("without any file it is %q, %v, want the word", got, err)
		}
	}
}

func TestInt(t *testing.T) {
	d := dir(t, map[string]string{"n": "120x\n", "minus": "-1\n", "none": "\n", "huge": strings.Repeat("9", 40)})
	for _, c := range []struct {
		file string
		want int
	}{{"n", 120}, {"minus", 7}, {"none", 7}, {"absent", 7}, {"huge", int(^uint(0) >> 1)}} {
		if got, err := d.Int(c.file, 7); got != c.want || err != nil {
			t.Errorf("Int(%s) = %d, %v, want %d", c.file, got, err, c.want)
		}
	}
}

func TestListAndMap(t *testing.T) {
	d := dir(t, map[string]string{"l": "#no\na.example \n\n b\n #c\nx:1\nX:2:3\nlast"})
	items, set, err := d.List("l")
	want := []string{"a.example", " b", " #c", "x:1", "X:2:3", "last"}
	if !reflect.DeepEqual(items, want) || !set || err != nil {
		t.Errorf("List = %q, %v, %v, want %q", items, set, err, want)
	}
	// Learned from qmail-showctl of the original: a NUL ends an item.
	nul := dir(t, map[string]string{"nul": "x\x00\ny\x00\x00z \n\x00a\n#b\x00c\n"})
	if items, _, _ := nul.List("nul"); !reflect.DeepEqual(items, []string{"x", "", "y", "", "z"}) {
		t.Errorf("List with NULs = %q", items)
	}
	m, _, _ := d.Map("l")
	if v, ok := m.Lookup("x"); v != "2:3" || !ok || len(m) != 1 {
		t.Errorf("Map = %q, want the last x alone", m)
	}
	s, _, _ := d.Set("l")
	if !s.Has("A.EXAMPLE") || s.Has("b") {
		t.Errorf("Set = %q", s)
	}
}

func TestUnreadable(t *testing.T) {
	d := dir(t, nil)
	if err := os.Mkdir(filepath.Join(string(d), "me"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Line("me"); err == nil {
		t.Error("a directory in a control file's place was read as a default")
	}
	if _, err := d.LineOr("helohost", "word"); err == nil {
		t.Error("LineOr hid that me cannot be read")
	}
}

func TestNames(t *testing.T) {
	d := Dir(t.TempDir())
	for _, c := range []struct {
		name, text string
		want       Names
	}{
		{"unrelated", "x\n", Names{"me", "me", "me"}},
		{"me", "a.example\n", Names{"a.example", "a.example", "a.example"}},
		{"defaulthost", "h\n", Names{"h", "a.example", "a.example"}},
		{"plusdomain", "", Names{"h", "a.example", ""}},
		{"defaultdomain", "d.example \n", Names{"h", "d.example", ""}},
	} {
		if err := os.WriteFile(filepath.Join(string(d), c.name), []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Names(); err != nil || got != c.want {
			t.Errorf("with %s: %v, %v, want %v", c.name, got, err, c.want)
		}
	}
	for _, name := range []string{"plusdomain", "defaultdomain", "defaulthost"} {
		path := filepath.Join(string(d), name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Names(); err == nil {
			t.Errorf("%s is a directory: %v", name, got)
		}
	}
}

// A file of secrets is of no use where others can read it.
func TestSecrets(t *testing.T) {
	d := dir(t, map[string]string{"f": "# mine\na:b:c\n"})
	for mode, exposed := range map[os.FileMode]bool{0o400: false, 0o600: false, 0o440: true, 0o404: true, 0o420: true, 0o401: true} {
		if err := os.Chmod(filepath.Join(string(d), "f"), mode); err != nil {
			t.Fatal(err)
		}
		items, set, err := d.Secrets("f")
		if exposed != errors.Is(err, ErrExposed) || exposed && (items != nil || !strings.Contains(err.Error(), "0400")) {
			t.Errorf("mode %v: %q, %v, %v", mode, items, set, err)
		}
		if !exposed && (len(items) != 1 || items[0] != "a:b:c" || !set || err != nil) {
			t.Errorf("mode %v: %q, %v, %v", mode, items, set, err)
		}
	}
	if items, set, err := d.Secrets("absent"); items != nil || set || err != nil {
		t.Errorf("an absent file: %q, %v, %v", items, set, err)
	}
}
