package suite

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestBench keeps `make bench` alive: Quail alone, in memory, with a few messages.
func TestBench(t *testing.T) {
	if !asRoot(t, "an ordinary user has no mounts and networks of the own for make bench") {
		return
	}
	lookAtSources()
	dir := t.TempDir()
	out := filepath.Join(dir, "BENCH.md")
	must(t, "go", "-C", "../..", "build", "-o", dir, "./scripts/bench")
	must(t, "sh", "-c", `cd ../.. && exec "$@"`, "sh", filepath.Join(dir, "bench"), "--quick", "--home", home, "--bin", built,
		"--work", filepath.Join(*work, "bench"), "--out", out)
	report, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`\| SMTP to remote sink, all delivered \| delivered a second: at least 2\.5 × Postfix \| [0-9.]+ \| not measured \|`,
		`\n\| Quail( \| [0-9.]+){5} \| 1\.00 × \|\n`,
	} {
		if !regexp.MustCompile(want).Match(report) {
			t.Errorf("the report has nothing like %s:\n%s", want, report)
		}
	}
}
