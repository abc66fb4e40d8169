package main

import (
	"os"
	"path/filepath"
	"testing"

	"quail/internal/conf"
	"quail/internal/prog"
)

func TestCount(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string // below queue; one that ends in / is a directory
		want  string   // "" if it fails
	}{
		{"empty", []string{"mess/", "todo/"}, "messages in queue: 0\nmessages in queue but not yet preprocessed: 0\n"},
		{"some", []string{"mess/0/23", "mess/1/1", "mess/1/24", "mess/1/name", "mess/2/", "todo/24", "todo/x"},
			"messages in queue: 4\nmessages in queue but not yet preprocessed: 2\n"},
		{"no todo", []string{"mess/"}, ""},
		{"no queue", nil, ""},
	} {
		conf.Home = t.TempDir()
		for _, name := range c.files {
			path := filepath.Join(conf.Home, "queue", name)
			if err := os.MkdirAll(filepath.Dir(path+"x"), 0o755); err != nil {
				t.Fatal(err)
			}
			if name[len(name)-1] == '/' {
				if err := os.MkdirAll(path, 0o755); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if len(c.files) > 2 { // neither links nor what they point to count
			if err := os.Symlink("1", filepath.Join(conf.Home, "queue/mess/0/link")); err != nil {
				t.Fatal(err)
			}
		}
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		status := (&prog.Process{Name: "qmail-qstat", Stdout: out, Stderr: out}).Do(run)
		out.Close()
		got, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		if c.want == "" {
			if status != 111 {
				t.Errorf("%s: status %d, %q, want it to fail", c.name, status, got)
			}
		} else if status != 0 || string(got) != c.want {
			t.Errorf("%s: status %d, got %q, want %q", c.name, status, got, c.want)
		}
	}
}
