package limits

import (
	"math"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"quail/internal/entry"
)

// What softlimit asks for is there for the program that it becomes, and no more than
// may be.
func TestSoft(t *testing.T) {
	for number := range 16 {
		var before, after unix.Rlimit
		if unix.Getrlimit(number, &before) != nil || number == unix.RLIMIT_NPROC || number == unix.RLIMIT_STACK {
			continue
		}
		found(t, unlimited, unlimited)
		if err := Soft(number, before.Cur); err != nil {
			t.Errorf("limit %d as it was: %v", number, err)
		}
		if err := unix.Getrlimit(number, &after); err != nil || after != before {
			t.Errorf("limit %d was %v and is %v", number, before, after)
		}
		kept := number == unix.RLIMIT_AS || number == unix.RLIMIT_DATA
		if kept != raised() || kept && !slices.Contains(entry.Limits[:], entry.Limit{Soft: before.Cur, Hard: before.Max, Raised: 1}) {
			t.Errorf("limit %d leaves %v", number, entry.Limits)
		}
	}
	if err := Soft(1000, 1); err == nil {
		t.Error("a limit that there is not was set")
	}
}

func TestLower(t *testing.T) {
	var signed int64
	var unsigned uint64
	for _, c := range []struct{ n, hard, want uint64 }{
		{0, 0, 0}, {5, 9, 5}, {9, 9, 9}, {Hard, 9, 9}, {Hard, math.MaxInt64, math.MaxInt64}, {1 << 63, math.MaxInt64, math.MaxInt64},
	} {
		lower(&signed, c.n, int64(c.hard))
		lower(&unsigned, c.n, c.hard)
		if signed != int64(c.want) || unsigned != c.want {
			t.Errorf("%d of %d is %d and %d", c.n, c.hard, signed, unsigned)
		}
	}
}
