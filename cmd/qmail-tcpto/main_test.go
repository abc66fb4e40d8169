package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"quail/internal/conf"
	"quail/internal/prog"
)

// now is what the clock says in these tests.
const now = 1_700_000_000

// What is wanted is what the C program prints, on standard output for errors too.
func TestList(t *testing.T) {
	table := make([]byte, 1024)
	put := func(i int, addr [4]byte, count byte, last uint32) {
		copy(table[16*i:], addr[:])
		table[16*i+4] = count
		binary.LittleEndian.PutUint32(table[16*i+8:], last)
	}
	put(0, [4]byte{192, 0, 2, 1}, 3, now-100)
	put(1, [4]byte{192, 0, 2, 2}, 0, now-100)
	put(63, [4]byte{10, 0, 0, 255}, 10, now+50)
	for _, c := range []struct {
		what   string
		table  []byte
		spoil  func(lock string) error
		status int
		want   string
	}{
		{"some", table, nil, 0, "192.0.2.1 timed out 100 seconds ago; # recent timeouts: 3\n" +
			"10.0.0.255 timed out 18446744073709551566 seconds ago; # recent timeouts: 10\n"},
		{"none", make([]byte, 1024), nil, 0, ""},
		{"short", table[:20], nil, 0, "192.0.2.1 timed out 100 seconds ago; # recent timeouts: 3\n"},
		{"empty", nil, nil, 0, ""},
		{"absent", nil, func(lock string) error { return os.Remove(lock + "/tcpto") }, 111,
			"fatal: unable to open tcpto: file does not exist\n"},
		{"no queue", nil, os.RemoveAll, 111, "fatal: unable to chdir: file does not exist\n"},
		{"directory", nil, func(lock string) error {
			os.Remove(lock + "/tcpto")
			return os.Mkdir(lock+"/tcpto", 0o755)
		}, 111, "fatal: unable to open tcpto: is a directory\n"},
	} {
		conf.Home = t.TempDir()
		lock := filepath.Join(conf.Home, "queue/lock")
		if err := os.MkdirAll(lock, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(lock+"/tcpto", c.table, 0o644); err != nil {
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
		p := &prog.Process{Name: "qmail-tcpto", Stdout: out, Now: func() time.Time { return time.Unix(now, 0) }}
		status := p.Do(run)
		out.Close()
		if got, _ := os.ReadFile(out.Name()); status != c.status || string(got) != c.want {
			t.Errorf("%s: %d, %q, want %d, %q", c.what, status, got, c.status, c.want)
		}
	}
}
