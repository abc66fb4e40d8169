package instructions

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quail/internal/dotqmail"
)

// home makes a home directory with files in it. A name that ends with a slash is a
// directory.
func home(t testing.TB, mode os.FileMode, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, contents := range files {
		path := filepath.Join(dir, name)
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.Mkdir(path, 0o755)
		} else {
			err = os.WriteFile(path, []byte(contents), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		mode   os.FileMode
		sticky bool
		want   string
	}{
		{0o755, false, ""},
		{0o700, false, ""},
		{0o775, false, ""},
		{0o757, false, "Uh-oh: home directory is writable. (#4.7.0)"},
		{0o755 | os.ModeSticky, true, ""},
	} {
		h, err := Open(home(t, c.mode, nil))
		if text(err) != c.want || h.Sticky != c.sticky {
			t.Errorf("mode %v: sticky %v, %v, want %v, %q", c.mode, h.Sticky, err, c.sticky, c.want)
		}
	}
	if _, err := Open("/nowhere/at/all"); text(err) != "Unable to switch to /nowhere/at/all: file does not exist. (#4.3.0)" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no home: %v", err)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestFind(t *testing.T) {
	dir := home(t, 0o755, map[string]string{
		".qmail": "", ".qmail-list": "&a@b\n", ".qmail-list-default": "&c@d\n", ".qmail-a:b": "./x/\n",
		".qmail-open": "&a@b\n", ".qmail-dir/": "", ".qmail-x": "&a@b\n", ".qmail-ends-default": "#\n",
	})
	for name, mode := range map[string]os.FileMode{".qmail-open": 0o646, ".qmail-x": 0o744} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	h, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const nobody = "Sorry, no mailbox here by that name. (#5.1.1)"
	for _, c := range []struct {
		dash, ext string
		want      File
		fails     string
	}{
		{"", "", File{Name: dotqmail.Name{File: ".qmail"}, Found: true, Fallback: true}, ""},
		{"-", "list", File{Name: dotqmail.Name{File: ".qmail-list"}, Found: true, Body: []byte("&a@b\n")}, ""},
		{"-", "List-Some", File{Name: dotqmail.Name{File: ".qmail-list-default", Default: "Some", Sets: true}, Found: true, Body: []byte("&c@d\n")}, ""},
		{"-", "A.b", File{Name: dotqmail.Name{File: ".qmail-a:b"}, Found: true, Body: []byte("./x/\n")}, ""},
		{"-", "x", File{Name: dotqmail.Name{File: ".qmail-x"}, Found: true, Body: []byte("&a@b\n"), ForwardOnly: true}, ""},
		{"-", "open", File{Name: dotqmail.Name{File: ".qmail-open"}, Found: true}, "Uh-oh: .qmail file is writable. (#4.7.0)"},
		{"-", "dir", File{}, nobody},
		{"-", "other", File{}, nobody},
		{"-", "", File{}, nobody},
		{"", "zzz", File{Fallback: true}, ""}, // an assignment with an ext and no dash
	} {
		got, err := h.Find(c.dash, c.ext)
		if text(err) != c.fails || got.Name != c.want.Name || got.Found != c.want.Found || got.Fallback != c.want.Fallback ||
			got.ForwardOnly != c.want.ForwardOnly || string(got.Body) != string(c.want.Body) {
			t.Errorf("Find(%q, %q) = %+v, %v, want %+v, %q", c.dash, c.ext, got, err, c.want, c.fails)
		}
		var r *Refusal
		if c.fails != "" && (!errors.As(err, &r) || r.Permanent != (c.fails == nobody)) {
			t.Errorf("Find(%q, %q): %#v", c.dash, c.ext, err)
		}
	}
}

func TestNewSender(t *testing.T) {
	h, err := Open(home(t, 0o755, map[string]string{
		".qmail-one-owner": "", ".qmail-two-owner": "", ".qmail-two-owner-default": "", ".qmail-odd-owner-default": "",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ext, sender, want string
		owners            []string
	}{
		{"one", "s@x", "joe-one-owner@h", []string{".qmail-one-owner"}},
		{"two", "s@x", "joe-two-owner-@h-@[]", []string{".qmail-two-owner", ".qmail-two-owner-default"}},
		{"odd", "s@x", "s@x", nil},
		{"one", "", "", nil},
		{"two", "#@[]", "#@[]", nil},
	} {
		d := dotqmail.Delivery{Local: "joe-" + c.ext, Host: "h", Dash: "-", Ext: c.ext, Sender: c.sender}
		got, owners, err := h.NewSender(d)
		if got != c.want || !slices.Equal(owners, c.owners) || err != nil {
			t.Errorf("%s from %q: %q, %q, %v, want %q, %q", c.ext, c.sender, got, owners, err, c.want, c.owners)
		}
	}
}

// Whatever the extension, no file outside the home is opened, and what is refused
// for good is only an address without a file.
func FuzzFind(f *testing.F) {
	h, err := Open(home(f, 0o755, map[string]string{".qmail-a": "in\n", ".qmail-b-default": "in\n"}))
	if err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(h.Dir), "secret"), []byte("out\n"), 0o644); err != nil {
		f.Fatal(err)
	}
	for _, ext := range []string{"a", "b-c", "", "/../../secret", "a\x00", strings.Repeat("-", 50)} {
		f.Add(ext)
	}
	f.Fuzz(func(t *testing.T, ext string) {
		file, err := h.Find("-", ext)
		var r *Refusal
		switch {
		case err == nil && string(file.Body) != "in\n":
			t.Errorf("Find(%q) read %q", ext, file.Body)
		case err != nil && (!errors.As(err, &r) || r.Permanent == file.Found):
			t.Errorf("Find(%q): %+v, %#v", ext, file, err)
		}
	})
}
