package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDraft(t *testing.T) {
	dir := t.TempDir()
	name, tmp := filepath.Join(dir, "file"), filepath.Join(dir, "tmp")
	for _, f := range []string{name, tmp} {
		if err := os.WriteFile(f, []byte("something old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Create(tmp)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(name); string(b) != "something old" {
		t.Errorf("%q before it was published", b)
	}
	if err := d.Publish(name); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(name); string(b) != "new" {
		t.Errorf("published %q", b)
	}
	if err := d.Publish(name); err == nil {
		t.Error("published twice")
	}
	if err := d.Finish(); err == nil {
		t.Error("finished after it was published")
	}
	if _, err := Create(dir); err == nil {
		t.Error("made a file of a directory")
	}
}

// Two programs with one temporary name: the first to be done used to publish the
// beginnings of the other, and to say that all was well.
func TestDraftTaken(t *testing.T) {
	dir := t.TempDir()
	name, tmp := filepath.Join(dir, "file"), filepath.Join(dir, "tmp")
	var drafts [2]*Draft
	for i := range drafts {
		d, err := Create(tmp)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		drafts[i] = d
	}
	for i, text := range []string{"first", "second"} {
		if _, err := drafts[i].WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := drafts[i].Finish(); err != nil {
			t.Error(err)
		}
	}
	if err := drafts[0].Publish(name); err != ErrTaken {
		t.Errorf("the draft that was overtaken: %v", err)
	}
	if _, err := os.Lstat(name); err == nil {
		t.Error("a draft was published by somebody else")
	}
	if err := drafts[1].Publish(name); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(name); string(b) != "second" {
		t.Errorf("published %q", b)
	}
}

// What is not a draft is neither emptied nor published: a link used to have the file
// written that it leads to, and to take the old one's place itself.
func TestDraftInTheWay(t *testing.T) {
	dir := t.TempDir()
	name, tmp, other := filepath.Join(dir, "file"), filepath.Join(dir, "tmp"), filepath.Join(dir, "other")
	for _, link := range []func(string, string) error{os.Symlink, os.Link} {
		if err := os.WriteFile(other, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := link(other, tmp); err != nil {
			t.Fatal(err)
		}
		d, err := Create(tmp)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.WriteString("new"); err != nil {
			t.Fatal(err)
		}
		if err := d.Publish(name); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(other); string(b) != "precious" {
			t.Errorf("another file became %q", b)
		}
		if fi, err := os.Lstat(name); err != nil || !fi.Mode().IsRegular() {
			t.Errorf("published %v, %v", fi, err)
		}
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(tmp); err == nil {
		t.Error("a directory was replaced")
	}
	if _, err := os.Stat(tmp); err != nil {
		t.Error(err)
	}
}
