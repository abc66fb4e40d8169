package control

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestStamp(t *testing.T) {
	d := dir(t, map[string]string{"a": "1", "b": "2"})
	path := func(name string) string { return filepath.Join(string(d), name) }
	long := time.Now().Add(-time.Hour)
	old := func(name string) {
		if err := os.Chtimes(path(name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	old("a")
	old("b")
	for _, c := range []struct {
		what   string
		change func() error
	}{
		{"a was written", func() error { return os.WriteFile(path("a"), []byte("3"), 0o644) }},
		{"a was replaced by a file as old", func() error {
			if err := os.WriteFile(path("new"), []byte("4"), 0o644); err != nil {
				return err
			}
			old("new")
			return os.Rename(path("new"), path("a"))
		}},
		{"c came, and the directory looks as old as before", func() error {
			if err := os.WriteFile(path("c"), nil, 0o644); err != nil {
				return err
			}
			return os.Chtimes(string(d), long, long)
		}},
		{"c went, and so does the directory", func() error {
			if err := os.Remove(path("c")); err != nil {
				return err
			}
			return os.Chtimes(string(d), long, long)
		}},
		{"b became unreadable", func() error { return os.Chmod(path("b"), 0) }},
		{"b went", func() error { return os.Remove(path("b")) }},
		{"c came", func() error { return os.WriteFile(path("c"), nil, 0o644) }},
		{"the directory went", func() error { return os.Rename(string(d), string(d)+"-gone") }},
	} {
		before, all := d.Stamp("a", "b", "c"), d.Stamp(".", "a", "b", "c")
		if !before.Same(d.Stamp("a", "b", "c")) || !before.Valid(d) || !all.Valid(d) {
			t.Errorf("before %s: the stamp changed by itself", c.what)
		}
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		if before.Same(d.Stamp("a", "b", "c")) {
			t.Errorf("%s: the stamp is the same", c.what)
		}
		if before.Valid(d) || all.Valid(d) {
			t.Errorf("%s: the stamp is valid: %t, with the directory: %t", c.what, before.Valid(d), all.Valid(d))
		}
	}
}

func TestStampSettled(t *testing.T) {
	d := dir(t, map[string]string{"a": "1"})
	s := d.Stamp("a", "absent")
	if s.Settled(time.Now()) {
		t.Error("a file that was just written is at rest")
	}
	if !s.Settled(time.Now().Add(time.Minute)) {
		t.Error("a file that was written a minute ago is not at rest")
	}
}

// A file that cannot even be looked at is taken for changed, not for absent.
func TestStampUnknown(t *testing.T) {
	d := dir(t, map[string]string{"file": ""})
	s := d.Stamp("file/below")
	if s.Same(d.Stamp("file/below")) {
		t.Error("what is not known is the same")
	}
}

// A link that leads nowhere is not absent: what it leads to can come without a trace.
func TestStampLink(t *testing.T) {
	d := dir(t, nil)
	if err := os.Symlink("elsewhere/a", filepath.Join(string(d), "a")); err != nil {
		t.Fatal(err)
	}
	if s := d.Stamp(".", "a"); s.Valid(d) {
		t.Error("a link to nowhere is taken for known")
	}
}
