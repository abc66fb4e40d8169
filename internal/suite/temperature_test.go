package suite

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// Warm and cold runs must not be told apart from outside, so every test is one of both.

// lastLine is what a file may end with to say that its program can be kept warm, or
// need not be executed by another of the same build.
var lastLine = regexp.MustCompile(`\nquail-(warm|build)-[^\n]*\n$`)

// chill makes programs such as run cold: their files lose their marks, and the queue
// has no socket.
func chill(t testing.TB, programs string) {
	t.Helper()
	if err := os.Remove(filepath.Join(programs, "qmail-queued")); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(programs + "/*")
	if err != nil {
		t.Fatal(err)
	}
	chilled := 0
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		mark := lastLine.Find(b[max(0, len(b)-100):])
		if mark == nil {
			continue
		}
		if err := os.Truncate(name, int64(len(b)-len(mark))); err != nil {
			t.Fatal(err)
		}
		chilled++
	}
	if chilled == 0 {
		t.Fatal("no program is marked: was this built by make?")
	}
}

// counts are the lines that parents of warm programs write at their end.
var counts = regexp.MustCompile(`(?m)^(?:\d+ )?([a-z-]+): jobs: (\d+) warm, (\d+) declined, (\d+) cold, (\d+) foreign, (\d+) lost; \d+ goroutines$`)

// checkTemperature looks, after all programs have ended, at how their jobs were run.
func (s *suite) checkTemperature() {
	var all []byte
	for _, f := range []*os.File{s.log, s.errors} {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, b...)
	}
	for _, line := range counts.FindAllSubmatch(all, -1) {
		n := make([]int, len(line))
		for i := 2; i < len(line); i++ {
			n[i], _ = strconv.Atoi(string(line[i]))
		}
		warm, troubled := n[2], n[4]+n[6]
		if *cold && warm > 0 {
			s.t.Errorf("in a cold run: %s", line[0])
		}
		if !*cold && !s.rough && troubled > 0 {
			s.t.Errorf("in a warm run: %s", bytes.TrimSpace(line[0]))
		}
	}
}
