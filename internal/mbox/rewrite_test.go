package mbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rewrite adds a message to the mbox by replacing it.
func rewrite(path, text string) error {
	lock, err := Hold(path)
	if err != nil {
		return err
	}
	defer lock.Close()
	draft, err := lock.Draft(path + ".tmp")
	if err != nil {
		return err
	}
	defer draft.Discard()
	old, err := os.Open(path)
	if err != nil {
		return err
	}
	defer old.Close()
	for _, step := range []func() error{
		func() error { return draft.Copy(old) },
		func() error { return draft.Add(head, strings.NewReader(text)) },
		draft.Finish,
		draft.Publish,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// contents wants the mbox to have this in it, and no draft to be left.
func contents(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); string(got) != want || err != nil {
		t.Errorf("mbox is %q, %v, want %q", got, err, want)
	}
	if _, err := os.Lstat(path + ".tmp"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a draft was left: %v", err)
	}
}

func TestRewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	if err := os.WriteFile(path+".tmp", []byte(strings.Repeat("old draft", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(path, "From me\nx"); err != nil {
		t.Fatal(err)
	}
	contents(t, path, head+">From me\nx\n\n")
	if err := rewrite(path, ""); err != nil {
		t.Fatal(err)
	}
	contents(t, path, head+">From me\nx\n\n"+head+"\n")
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

// A draft that comes to nothing leaves the mbox, and nothing else.
func TestDiscard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for _, after := range []int{0, 1, 2} {
		lock, err := Hold(path)
		if err != nil {
			t.Fatal(err)
		}
		draft, err := lock.Draft(path + ".tmp")
		if err != nil {
			t.Fatal(err)
		}
		if after > 0 {
			message := io.MultiReader(strings.NewReader(strings.Repeat("line\n", 100000)), failing{broken})
			if err := draft.Add(head, message); !errors.Is(err, broken) {
				t.Errorf("error %v", err)
			}
		}
		if after > 1 {
			if err := draft.Finish(); err != nil {
				t.Error(err)
			}
		}
		draft.Discard()
		lock.Close()
		contents(t, path, "old")
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// What is in the way of a draft stays as it is.
func TestNoDraft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mbox")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, dir+"/hard"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("mbox", dir+"/soft"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	lock, err := Hold(path)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	for name, want := range map[string]error{
		"mbox": ErrSameFile, "hard": ErrSameFile, "soft": ErrSameFile, "fifo": syscall.EEXIST, ".": syscall.EISDIR, "no/where": syscall.ENOENT,
	} {
		if _, err := lock.Draft(filepath.Join(dir, name)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	contents(t, path, "old")
}

// Deliveries and rewriting programs at the same time lose nothing of each other's.
func TestRewriteAmongDeliveries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mbox")
	const n = 10
	done := make(chan error)
	for i := range n {
		go func() { done <- rewrite(path, fmt.Sprintf("moved %d\n", i)) }()
		go func() { done <- Append(path, head, strings.NewReader(fmt.Sprintf("delivered %d\n", i)), time.Now) }()
	}
	for range 2 * n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		for _, text := range []string{fmt.Sprintf("moved %d\n", i), fmt.Sprintf("delivered %d\n", i)} {
			if strings.Count(string(got), text) != 1 {
				t.Errorf("%q is there %d times", text, strings.Count(string(got), text))
			}
		}
	}
}
