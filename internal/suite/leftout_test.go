package suite

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What cannot be tested on a machine is said, not skipped: a test that leaves
// something out names it with the reason. Root on Debian 12 has all it takes, so
// there nothing may be left out.

// leftOut are the lines of this run. They go into a file too, because go test shows
// what a package prints only when it fails.
var leftOut []string

func leftOutFile() string { return filepath.Join(*work, "left-out") }

// leaveOut says that the test, or the part of it that comes next, cannot be done
// here. The test has to return by itself.
func leaveOut(t testing.TB, reason string) {
	line := fmt.Sprintf("left out: %s: %s", t.Name(), reason)
	fmt.Fprintln(os.Stderr, line)
	leftOut = append(leftOut, line)
}

// tool finds a program that scripts/testdeps fetches. Without it the test is left
// out.
func tool(t testing.TB, name string) (path string, ok bool) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin", "../../.testdeps/bin") {
		path, err := exec.LookPath(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		if path, err = filepath.Abs(path); err == nil {
			return path, true
		}
	}
	leaveOut(t, "no "+name+" here; scripts/testdeps fetches it")
	return "", false
}

// asRoot reports whether the test may have users and networks of its own, and
// leaves it out otherwise.
func asRoot(t testing.TB, why string) bool {
	if !root {
		leaveOut(t, why)
	}
	return root
}

// complete ends the run of all tests: it keeps the list, and refuses a run that
// left something out where nothing has to be.
func complete(status int) int {
	var list strings.Builder
	for _, line := range leftOut {
		list.WriteString(line + "\n")
	}
	if err := os.WriteFile(leftOutFile(), []byte(list.String()), 0o644); err != nil {
		return failed(err)
	}
	if held(root, debian(), len(leftOut)) {
		return status
	}
	return failed(fmt.Errorf("%d left out, where root on Debian 12 can do everything", len(leftOut)))
}

// held reports whether as many tests may be left out here.
func held(root bool, debian string, leftOut int) bool {
	return leftOut == 0 || !root || !strings.HasPrefix(debian, "12.")
}

// debian returns the host's release of Debian, or nothing.
func debian() string {
	b, _ := os.ReadFile("/etc/debian_version")
	return strings.TrimSpace(string(b))
}

func TestLeavingOut(t *testing.T) {
	for _, c := range []struct {
		root    bool
		debian  string
		leftOut int
		want    bool
	}{
		{true, "12.11", 0, true},
		{true, "12.11", 1, false},
		{false, "12.11", 1, true},
		{true, "", 1, true},
		{true, "13.0", 1, true},
	} {
		if got := held(c.root, c.debian, c.leftOut); got != c.want {
			t.Errorf("held(%v, %q, %d) = %v, want %v", c.root, c.debian, c.leftOut, got, c.want)
		}
	}
}

// lookAtSources makes the result of a test depend on all that is built for it. go
// test would repeat an old result otherwise: it sees which files a test looks at, and
// not which ones its children do.
func lookAtSources() {
	for _, dir := range []string{"cmd", "internal", "scripts", "alias", "control"} {
		filepath.WalkDir(filepath.Join("../..", dir), func(string, fs.DirEntry, error) error { return nil })
	}
}
