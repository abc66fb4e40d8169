package maildir

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// start is a moment; clock returns a clock that stands still there.
var start = time.Unix(1767588414, 0)

func clock() time.Time { return start }

func makeMaildir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "Maildir")
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// list returns the content of each file in a directory, by name.
func list(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(content)
	}
	return out
}

func TestNames(t *testing.T) {
	n := Namer{Now: clock, PID: 42, Host: "a/b:c.example"}
	for _, want := range []string{
		`1767588414.42.a\057b\072c.example`,
		`1767588414.42_2.a\057b\072c.example`,
		`1767588414.42_3.a\057b\072c.example`,
	} {
		if got := n.next(); got != want {
			t.Errorf("name %q, want %q", got, want)
		}
	}
	long := Namer{Now: clock, PID: 1, Host: strings.Repeat("x", 100)}
	if got, want := long.next(), "1767588414.1."+strings.Repeat("x", 64); got != want {
		t.Errorf("name %q, want %q", got, want)
	}
}

func TestDeliver(t *testing.T) {
	dir := makeMaildir(t)
	names := &Namer{Now: clock, PID: 42, Host: "h"}
	for _, text := range []string{"one", "", strings.Repeat("long\r\n", 100000)} {
		// With and without a slash at the end, as in .qmail files.
		if err := Deliver(dir+"/", names, nil, iotest.HalfReader(strings.NewReader(text))); err != nil {
			t.Fatal(err)
		}
	}
	got := list(t, dir+"/new")
	for name, want := range map[string]string{
		"1767588414.42.h": "one", "1767588414.42_2.h": "", "1767588414.42_3.h": strings.Repeat("long\r\n", 100000),
	} {
		if text, ok := got[name]; !ok || text != want {
			t.Errorf("%s: %d bytes, %v, want %d", name, len(text), ok, len(want))
		}
	}
	fi, err := os.Stat(dir + "/new/1767588414.42.h")
	if err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", fi.Mode(), err)
	}
	if left := list(t, dir+"/tmp"); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

// A file that is there already stays, and stays what it is.
func TestTaken(t *testing.T) {
	dir := makeMaildir(t)
	taken := func(name string) {
		if err := os.WriteFile(dir+name, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	taken("/tmp/1767588414.42.h")
	taken("/tmp/1767588414.42_2.h")
	if err := Deliver(dir, &Namer{Now: clock, PID: 42, Host: "h"}, nil, strings.NewReader("x")); err != nil {
		t.Errorf("two names taken: %v", err)
	}
	taken("/tmp/1767588414.42_3.h")
	if err := Deliver(dir, &Namer{Now: clock, PID: 42, Host: "h"}, nil, strings.NewReader("x")); !errors.Is(err, os.ErrExist) {
		t.Errorf("three names taken: %v", err)
	}
	taken("/new/1767588414.43.h")
	if err := Deliver(dir, &Namer{Now: clock, PID: 43, Host: "h"}, nil, strings.NewReader("x")); !errors.Is(err, os.ErrExist) {
		t.Errorf("name taken in new: %v", err)
	}
	for sub, want := range map[string]int{"/tmp": 3, "/new": 1} {
		old := 0
		for name, text := range list(t, dir+sub) {
			if text == "old" {
				old++
			} else if sub == "/tmp" {
				t.Errorf("left in tmp: %s", name)
			}
		}
		if old != want {
			t.Errorf("%d old files in %s, want %d", old, sub, want)
		}
	}
}

func TestFailuresLeaveNothing(t *testing.T) {
	broken := errors.New("broken")
	late := func(calls int) func() time.Time {
		return func() time.Time {
			if calls--; calls < 0 {
				return start.Add(Deadline)
			}
			return start
		}
	}
	for _, c := range []struct {
		what    string
		spoil   func(dir string) error
		now     func() time.Time
		message io.Reader
		want    error
	}{
		{"no maildir", os.RemoveAll, clock, strings.NewReader("x"), ErrNoMaildir},
		{"no tmp", func(dir string) error { return os.Remove(dir + "/tmp") }, clock, strings.NewReader("x"), os.ErrNotExist},
		{"no new", func(dir string) error { return os.Remove(dir + "/new") }, clock, strings.NewReader("x"), os.ErrNotExist},
		{"read error", nil, clock, io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), broken},
		{"deadline while reading", nil, late(2), strings.NewReader("x"), ErrTimeout},
		{"deadline before the link", nil, late(3), strings.NewReader("x"), ErrTimeout},
	} {
		dir := makeMaildir(t)
		if c.spoil != nil {
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
		}
		err := Deliver(dir, &Namer{Now: c.now, PID: 42, Host: "h"}, nil, c.message)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
		files, err := filepath.Glob(dir + "/*/*")
		if err != nil || len(files) != 0 {
			t.Errorf("%s: left %q, %v", c.what, files, err)
		}
	}
}

func TestLinks(t *testing.T) {
	dir := makeMaildir(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := Deliver(link, &Namer{Now: clock, PID: 42, Host: "h"}, nil, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if got := list(t, dir+"/new"); got["1767588414.42.h"] != "x" {
		t.Errorf("new holds %q", got)
	}
}

func TestDeadline(t *testing.T) {
	// Every Maildir reader may remove what is older than that from tmp.
	if Deadline >= 36*time.Hour {
		t.Errorf("a delivery may take %v", Deadline)
	}
}
