package utmp

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// record returns a record as login programs write it.
func record(kind uint16, user, line string) []byte {
	b := make([]byte, recordSize)
	binary.NativeEndian.PutUint16(b, kind)
	copy(b[lineStart:lineEnd], line)
	copy(b[userStart:userEnd], user)
	copy(b[userEnd:], "host.example.org")
	return b
}

func TestList(t *testing.T) {
	long := strings.Repeat("x", 32) // fills its field, without a NUL
	text := slices.Concat(record(2, "reboot", "~"), record(7, "joe", "pts/0"), record(8, "", "pts/1"),
		record(6, "LOGIN", "tty1"), record(7, long, long), record(7, "jane", "pts/2")[:recordSize-1])
	name := filepath.Join(t.TempDir(), "utmp")
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := list(name)
	if want := []Entry{{"joe", "pts/0"}, {long, long}}; !slices.Equal(got, want) || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := list(name + ".absent"); len(got) != 0 || err != nil {
		t.Errorf("no file: %q, %v", got, err)
	}
	for _, other := range []string{"/", "/dev/zero"} {
		if got, err := list(other); len(got) != 0 || err == nil {
			t.Errorf("%s: %q, %v, want an error", other, got, err)
		}
	}
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := list(name); len(got) != 0 || err != nil {
		t.Errorf("empty file: %q, %v", got, err)
	}
}

func TestTerminal(t *testing.T) {
	for line, want := range map[string]string{
		"tty1": "/dev/tty1", "pts/0": "/dev/pts/0",
		"": "", "/etc/passwd": "", "../etc/passwd": "", "pts/../../x": "", ":0.0": "", "a.b": "", "a\x00b": "",
	} {
		if got, ok := (Entry{Line: line}).Terminal(); got != want || ok != (want != "") {
			t.Errorf("%q is %q, %v, want %q", line, got, ok, want)
		}
	}
}

// FuzzParse: no terminal is outside /dev, and no field is longer than its place.
func FuzzParse(f *testing.F) {
	f.Add(record(7, "joe", "pts/0"))
	f.Add(record(7, "joe", "../x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries := parse(data)
		if len(entries) > len(data)/recordSize {
			t.Errorf("%d entries in %d bytes", len(entries), len(data))
		}
		for _, e := range entries {
			if len(e.User) > 32 || len(e.Line) > 32 {
				t.Errorf("%q", e)
			}
			if path, ok := e.Terminal(); ok && (filepath.Clean(path) == "/dev" || !strings.HasPrefix(filepath.Clean(path), "/dev/")) {
				t.Errorf("%q leads to %q", e.Line, path)
			}
		}
	})
}
