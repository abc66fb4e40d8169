package limits

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Programs that are started get the limit that this one had, whatever became of ours.
func TestFiles(t *testing.T) {
	child := func() string {
		out, err := exec.Command("/bin/sh", "-c", "ulimit -Sn; ulimit -Hn").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	given := child()
	for _, n := range []uint64{1, before.Cur, before.Max, before.Max + 1} {
		got, err := Files(n)
		var now unix.Rlimit
		unix.Getrlimit(unix.RLIMIT_NOFILE, &now)
		if err != nil || got != now.Cur || got < min(n, before.Max) {
			t.Errorf("Files(%d) = %d, %v; the limit is %d of %d", n, got, err, now.Cur, now.Max)
		}
		if after := child(); after != given {
			t.Errorf("after Files(%d) a child has %q, before %q", n, after, given)
		}
	}
	if hard := strings.Fields(given)[1]; hard != strconv.FormatUint(before.Max, 10) {
		t.Errorf("the hard limit of a child is %s, ours %d", hard, before.Max)
	}
}
