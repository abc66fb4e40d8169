package layout

import (
	"io/fs"
	"strings"
	"testing"

	"quail/scripts"
)

func TestParse(t *testing.T) {
	items, err := Parse("# words\n\nx 04711 qmailq qmail bin/a\nl a - - bin/b\np 0622 qmails qmail q/t\n")
	want := []Item{
		{Kind: "x", Mode: 0o711 | fs.ModeSetuid, Owner: "qmailq", Group: "qmail", Path: "bin/a"},
		{Kind: "l", Target: "a", Owner: "-", Group: "-", Path: "bin/b"},
		{Kind: "p", Mode: 0o622, Owner: "qmails", Group: "qmail", Path: "q/t"},
	}
	if err != nil || len(items) != len(want) {
		t.Fatalf("%+v, %v", items, err)
	}
	for i := range want {
		if items[i] != want[i] {
			t.Errorf("%+v, want %+v", items[i], want[i])
		}
	}
	if items[2].Type() != fs.ModeNamedPipe || Octal(items[0].Mode) != "4711" {
		t.Errorf("type %v, mode %s", items[2].Type(), Octal(items[0].Mode))
	}
	for _, bad := range []string{"d 0755 root qmail", "z 0755 root qmail x", "d 0999 root qmail x", "d 0755 root qmail x y"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q was parsed", bad)
		}
	}
	if items, err := Parse(scripts.Files); err != nil || len(items) < 50 {
		t.Errorf("the table itself: %d items, %v", len(items), err)
	}
}

// A line that parses says all that there is in it.
func FuzzParse(f *testing.F) {
	f.Add("x 04711 qmailq qmail bin/a")
	f.Fuzz(func(t *testing.T, line string) {
		items, err := Parse(line)
		if err != nil || strings.ContainsAny(line, "\n") {
			return
		}
		for _, i := range items {
			mode := Octal(i.Mode)
			if i.Kind == "l" {
				mode = i.Target
			}
			again, err := Parse(strings.Join([]string{i.Kind, mode, i.Owner, i.Group, i.Path}, " "))
			if err != nil || len(again) != 1 || again[0] != i {
				t.Errorf("%q is %+v, then %+v, %v", line, i, again, err)
			}
		}
	})
}
