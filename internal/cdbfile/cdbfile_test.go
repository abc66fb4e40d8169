package cdbfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"quail/internal/cdb"
)

func write(t *testing.T, tmp, name, key, value string) {
	t.Helper()
	d, err := Create(tmp)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Add(cdb.Record{Key: key, Value: value}); err != nil {
		t.Fatal(err)
	}
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := d.Publish(name); err != nil {
		t.Fatal(err)
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	name, tmp := filepath.Join(dir, "cdb"), filepath.Join(dir, "cdb.tmp")
	write(t, tmp, name, "k", "old")
	old, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	// What was left in the temporary file, longer than what comes, must go.
	if err := os.WriteFile(tmp, make([]byte, 10000), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, tmp, name, "k", "new")
	if fi, err := os.Stat(name); err != nil || fi.Size() != 2048+12+16 {
		t.Errorf("database has %d bytes (%v), want one record's %d", fi.Size(), err, 2048+12+16)
	}
	if _, err := os.Stat(tmp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file is still there: %v", err)
	}
	now, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	for _, c := range []struct {
		file *File
		want string
	}{{old, "old"}, {now, "new"}} {
		if value, ok, err := c.file.Find("k"); err != nil || !ok || string(value) != c.want {
			t.Errorf("Find = %q, %v, %v, want %q", value, ok, err, c.want)
		}
	}
}

func TestOpenOther(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		want error
	}{
		{filepath.Join(dir, "absent"), fs.ErrNotExist},
		{dir, cdb.ErrFormat},
		{fifo, cdb.ErrFormat}, // and without waiting for a writer
	} {
		if f, err := Open(c.name); !errors.Is(err, c.want) {
			t.Errorf("Open(%s) = %v, %v, want %v", c.name, f, err, c.want)
		}
	}
}

func TestDraftErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Create(dir); err == nil {
		t.Error("Create of a directory succeeded")
	}
	tmp := filepath.Join(dir, "tmp")
	d, err := Create(tmp)
	if err != nil {
		t.Fatal(err)
	}
	d.Discard()
	if err := d.Finish(); err == nil {
		t.Error("Finish after Discard succeeded")
	}
	if _, err := os.Stat(tmp); err != nil {
		t.Errorf("a discarded draft is gone: %v", err)
	}
	if err := d.Publish(filepath.Join(dir, "absent", "cdb")); err == nil {
		t.Error("Publish in a directory that does not exist succeeded")
	}
}
