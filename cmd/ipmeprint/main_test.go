package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quail/internal/prog"
)

// Whatever the host's addresses are, loopback is up wherever tests run.
func TestPrint(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	status := (&prog.Process{Name: "ipmeprint", Stdout: out, Stderr: out}).Do(run)
	out.Close()
	said, _ := os.ReadFile(out.Name())
	lines := strings.Fields(string(said))
	if status != 0 || len(lines) < 2 || lines[0] != "0.0.0.0" || !slices.Contains(lines, "127.0.0.1") {
		t.Errorf("%d, %q", status, said)
	}
	for _, line := range lines {
		if _, err := netip.ParseAddr(line); err != nil {
			t.Error(err)
		}
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if status := (&prog.Process{Name: "ipmeprint", Stdout: full, Stderr: full}).Do(run); status != 111 {
		t.Errorf("nowhere to print: %d", status)
	}
}
