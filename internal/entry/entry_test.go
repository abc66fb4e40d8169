package entry

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"testing"
)

// What a program is given is what it finds, whatever the entry code has done to that on the
// way; and it begins with one processor if nobody said another number.
func TestBegin(t *testing.T) {
	program := t.TempDir() + "/begun"
	build := exec.Command("go", "build", "-o", program, "-ldflags=-E=quail_entry", "./testdata/begun")
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		build.Args = slices.Delete(build.Args, 4, 5)
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	first := runtime.NumCPU()
	appended := runtime.GOOS == "linux" && runtime.GOARCH == "amd64"
	if appended {
		first = 1
	}
	long := make([]string, 3000)
	for i := range long {
		long[i] = fmt.Sprint("N", i, "=", i)
	}
	for _, c := range []struct {
		args, env  []string
		processors int
		appended   bool
	}{
		{nil, []string{}, first, appended},
		{[]string{"", "a b", ""}, []string{"A=b", "=", "GOMAXPROC=7"}, first, appended},
		{long[:1000], long, first, appended},
		{nil, []string{"GOMAXPROCS=3"}, 3, false},
		{nil, []string{"A=b", "GOMAXPROCS=1", "C=d"}, 1, false},
	} {
		run := exec.Cmd{Path: program, Args: append([]string{"begun"}, c.args...), Env: c.env}
		out, err := run.CombinedOutput()
		if want := fmt.Sprintf("%d %q %q %v\n", c.processors, c.args, c.env, c.appended); string(out) != want || err != nil {
			t.Errorf("with %.200q and %.200q it says %.500s, %v, want %.500s", c.args, c.env, out, err, want)
		}
	}
}
