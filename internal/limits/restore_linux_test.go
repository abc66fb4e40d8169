package limits

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"quail/internal/entry"
)

// TestMain lets the test binary be a program that becomes another one below a limit.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "limited" {
		heap := make([]byte, 3<<20) // there is little left of what the runtime has at first
		entry.Limits[entry.AddressSpace] = entry.Limit{Soft: 30000000, Hard: math.MaxUint64, Raised: 1}
		err := Exec("/", "/bin/nosuch", os.Args[1:], os.Environ())
		err2 := Exec("/", "/bin/sh", os.Args[1:], os.Environ())
		runtime.KeepAlive(heap)
		os.Stderr.WriteString(err.Error() + err2.Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A program that became another one below a limit died of it now and then, and always if
// it needed memory to hand arguments and environment on.
func TestLimitedNeedsNoMemory(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Cmd{Path: self, Args: []string{"limited", "sh", "-c", "ulimit -S -v; ulimit -S -n; echo ${#A} $#", ""}}
	for range 900 {
		cmd.Args = append(cmd.Args, strings.Repeat("x", 1000))
	}
	for name := range strings.SplitSeq("A B C D E F G H", " ") {
		cmd.Env = append(cmd.Env, name+"="+strings.Repeat("x", 100000))
	}
	files, err := exec.Command("sh", "-c", "ulimit -S -n").Output()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if want := "29296\n" + string(files) + "100000 900\n"; string(out) != want || err != nil {
		t.Errorf("it says %.300q, %v, want %q", out, err, want)
	}
}
