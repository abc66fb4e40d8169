package limits

import (
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"quail/internal/conf"
	"quail/internal/entry"
)

// found stands in for the entry code, which only programs linked by make have.
func found(t *testing.T, address, heap entry.Limit) {
	t.Helper()
	old := entry.Limits
	t.Cleanup(func() { entry.Limits = old })
	entry.Limits = [2]entry.Limit{entry.AddressSpace: address, entry.Data: heap}
}

var (
	unlimited = entry.Limit{Soft: math.MaxUint64, Hard: math.MaxUint64}
	low       = entry.Limit{Soft: 30000000, Hard: math.MaxUint64, Raised: 1}
)

// A running program of the suite must never have its limits lowered: its runtime
// died of that, half of the times, under "softlimit -m" as most run scripts have it.
// What it is told instead comes out at the other end.
func TestChildOfTheSuite(t *testing.T) {
	found(t, low, unlimited)
	for _, c := range []struct{ dir, path string }{
		{"/", conf.Home + "/bin/qmail-queue"},
		{conf.Home, "bin/qmail-queue"},
		{conf.Home, "./bin/qmail-queue"},
	} {
		path, args, env := Child(c.dir, []string{c.path, "/bin/false"}, []string{"x", "y"}, []string{"A=b"})
		if path != c.path || !slices.Equal(args, []string{"x", "y"}) || !slices.Equal(env, []string{"A=b", "QUAIL_LIMITS=30000000 -"}) {
			t.Errorf("Child(%q, %q) = %q, %q, %q", c.dir, c.path, path, args, env)
		}
		entry.Limits = [2]entry.Limit{unlimited, unlimited}
		if got := Inherit(env); !slices.Equal(got, []string{"A=b"}) || entry.Limits != ([2]entry.Limit{low, unlimited}) {
			t.Errorf("Inherit(%q) = %q and saves %v", env, got, entry.Limits)
		}
	}
}

// Any other program runs under the limits from its first instruction on.
func TestChildOfOthers(t *testing.T) {
	found(t, low, entry.Limit{Soft: 20000000, Hard: math.MaxUint64, Raised: 1})
	const program = "/bin/sh"
	absent := t.TempDir() + "/it's not there"
	path, args, env := Child("/", []string{absent, absent, program, "/bin/false"}, []string{"sh", "-c", `ulimit -S -v; ulimit -S -d; echo "$@"`, "", "a b", "'"}, []string{"A=b"})
	cmd := exec.Cmd{Path: path, Args: args, Env: env}
	out, err := cmd.CombinedOutput()
	if want := "29296\n19531\na b '\n"; string(out) != want || err != nil {
		t.Errorf("%q says %q, %v, want %q", args, out, err, want)
	}
	if !slices.Equal(env, []string{"A=b"}) {
		t.Errorf("the environment is %q", env)
	}
}

func TestNothingToHandOn(t *testing.T) {
	found(t, unlimited, unlimited)
	args, env := []string{"x"}, []string{"A=b"}
	if path, a, e := Child("/", []string{"/bin/x"}, args, env); path != "/bin/x" || !slices.Equal(a, args) || !slices.Equal(e, env) {
		t.Errorf("Child = %q, %q, %q", path, a, e)
	}
}

// Whatever stands in the variable, it is gone afterwards, and no limit is higher
// than the one found.
func FuzzInherit(f *testing.F) {
	for _, s := range []string{"", "-", "1 2", "- 5", "30000000 30000000 1", "99999999999999999999 -1", "\xff 0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		found(t, entry.Limit{Soft: 30000000, Hard: math.MaxUint64}, low)
		before := entry.Limits
		for _, s := range Inherit([]string{"A=b", variable + value, variable + "7", "C="}) {
			if strings.HasPrefix(s, variable) {
				t.Errorf("%q is left", s)
			}
		}
		for i := range entry.Limits {
			if entry.Limits[i].Soft > before[i].Soft || entry.Limits[i].Hard != before[i].Hard {
				t.Errorf("%q makes %v of %v", value, entry.Limits[i], before[i])
			}
		}
		if entry.Limits[entry.Data] != low {
			t.Errorf("%q makes %v of the limit that this program has raised itself", value, entry.Limits[entry.Data])
		}
	})
}
