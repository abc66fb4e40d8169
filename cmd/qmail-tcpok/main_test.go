package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"quail/internal/conf"
	"quail/internal/prog"
)

func TestForget(t *testing.T) {
	for _, c := range []struct {
		what  string
		spoil func(lock string) error
		want  string // of the message; DIR stands for the directory of the table
	}{
		{"table", nil, ""},
		{"short table", func(lock string) error { return os.Truncate(lock+"/tcpto", 20) }, ""},
		{"absent", func(lock string) error { return os.Remove(lock + "/tcpto") }, "unable to write DIR/tcpto: file does not exist"},
		{"no queue", os.RemoveAll, "unable to chdir to DIR: file does not exist"},
		{"full", func(lock string) error {
			os.Remove(lock + "/tcpto")
			return os.Symlink("/dev/full", lock+"/tcpto")
		}, "unable to clear DIR/tcpto: out of disk space"},
	} {
		conf.Home = t.TempDir()
		lock := filepath.Join(conf.Home, "queue/lock")
		if err := os.MkdirAll(lock, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(lock+"/tcpto", bytes.Repeat([]byte{1}, 1024), 0o644); err != nil {
			t.Fatal(err)
		}
		if c.spoil != nil {
			if err := c.spoil(lock); err != nil {
				t.Fatal(err)
			}
		}
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		status := (&prog.Process{Name: "qmail-tcpok", Stdout: out, Stderr: out}).Do(run)
		out.Close()
		said, _ := os.ReadFile(out.Name())
		if c.want == "" {
			table, err := os.ReadFile(lock + "/tcpto")
			if status != 0 || len(said) > 0 || err != nil || !bytes.Equal(table, make([]byte, 1024)) {
				t.Errorf("%s: %d, %q, left %d bytes, %v", c.what, status, said, len(table), err)
			}
			continue
		}
		want := "qmail-tcpok: fatal: " + string(bytes.ReplaceAll([]byte(c.want), []byte("DIR"), []byte(lock))) + "\n"
		if status != 111 || string(said) != want {
			t.Errorf("%s: %d, %q, want 111, %q", c.what, status, said, want)
		}
	}
}
