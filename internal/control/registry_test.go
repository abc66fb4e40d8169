package control

import (
	"strconv"
	"strings"
	"testing"
)

func TestRegistry(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Registry {
		if seen[s.Name] {
			t.Errorf("%s is listed twice", s.Name)
		}
		seen[s.Name] = true
		if s.Readers == "" {
			t.Errorf("%s is read by nobody", s.Name)
		}
		if s.Kind != KindCompiled && strings.Count(s.Text, "%s") != 1 {
			t.Errorf("%s: the text %q has not one place for a value", s.Name, s.Text)
		}
		if s.Kind != KindLine && s.Kind != KindNumber && s.Absent == "" {
			t.Errorf("%s: no text for an absent list", s.Name)
		}
		if _, err := strconv.Atoi(s.Default); s.Kind == KindNumber && err != nil {
			t.Errorf("%s: default %q is not a number", s.Name, s.Default)
		}
		if got, ok := Find(s.Name); !ok || got != s {
			t.Errorf("Find(%s) = %v, %v", s.Name, got, ok)
		}
	}
	if _, ok := Find("ME"); ok {
		t.Error("file names were compared without regard to case")
	}
}

// Reading must agree with itself however a file looks: List gives the items of
// Line's first line and more, and an item is never blank.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "me.example \t\nrest", "#no\n a\n\n", "12x", "99999999999999999999", "a\x00\x00b\n\x00c\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, contents string) {
		d := dir(t, map[string]string{"f": contents})
		line, set, err := d.Line("f")
		if !set || err != nil || strings.Contains(line, "\n") || line != trim(line) || !strings.HasPrefix(contents, line) {
			t.Errorf("Line of %q = %q, %v, %v", contents, line, set, err)
		}
		if n, err := d.Int("f", 7); err != nil || n < 0 {
			t.Errorf("Int of %q = %d, %v", contents, n, err)
		}
		items, _, err := d.List("f")
		if err != nil {
			t.Fatal(err)
		}
		rest := contents
		for _, item := range items {
			_, after, ok := strings.Cut(rest, item)
			if !ok || strings.ContainsAny(item, "\n\x00") {
				t.Fatalf("List of %q has %q, which is not a part of it in this order", contents, item)
			}
			rest = after
		}
		if line != "" && line[0] != '#' && line[0] != 0 && !strings.HasPrefix(line, items[0]) {
			t.Errorf("List of %q begins with %q, Line says %q", contents, items[0], line)
		}
	})
}
