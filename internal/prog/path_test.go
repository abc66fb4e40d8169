package prog

import (
	"os"
	"path/filepath"
	"testing"
)

// A name stands for what the system makes of it. One with a link before .. used to
// stand for another file, and no name for the working directory.
func TestPath(t *testing.T) {
	p := &Process{Dir: t.TempDir()}
	for name, want := range map[string]string{"": "", "/x": "/x", "x": p.Dir + "/x", "x/": p.Dir + "/x/", "./a/../x": p.Dir + "/./a/../x"} {
		if got := p.Path(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if err := os.MkdirAll(filepath.Join(p.Dir, "a/b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a/b", filepath.Join(p.Dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a/file": "right", "file": "wrong"} {
		if err := os.WriteFile(filepath.Join(p.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(p.Path("link/../file")); string(b) != "right" {
		t.Errorf("%q, %v", b, err)
	}
}
