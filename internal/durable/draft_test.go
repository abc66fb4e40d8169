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
		t.Error("finished twice")
	}
	if _, err := Create(dir); err == nil {
		t.Error("made a file of a directory")
	}
}
