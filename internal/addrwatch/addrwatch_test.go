package addrwatch

import (
	"errors"
	"net/netip"
	"testing"

	"quail/internal/localaddr"
)

func TestLocal(t *testing.T) {
	var w Watch
	for range 2 {
		set, err := w.Local()
		if err != nil || !set.Has(netip.MustParseAddr("127.0.0.1")) {
			t.Errorf("Local = %v, %v, want 127.0.0.1 in it", set, err)
		}
	}
}

// What was read is used until something has changed; what could not be read, and
// what nobody tells of, is read each time.
func TestFreshness(t *testing.T) {
	reads, broken := 0, false
	w := Watch{asked: true, watching: true, read: func() (localaddr.Set, error) {
		if reads++; broken {
			return nil, errors.New("no")
		}
		return localaddr.Set{}, nil
	}}
	step := func(what string, before func(), want int) {
		t.Helper()
		before()
		if _, err := w.Local(); (err != nil) != broken {
			t.Errorf("%s: error %v", what, err)
		}
		if reads != want {
			t.Errorf("%s: read %d times, want %d", what, reads, want)
		}
	}
	nothing := func() {}
	step("at first", nothing, 1)
	step("again", nothing, 1)
	step("after a change", w.changed, 2)
	step("again", nothing, 2)
	step("when it fails", func() { broken = true; w.changed() }, 3)
	step("again", nothing, 4)
	step("when it works", func() { broken = false }, 5)
	step("without a watch", w.lost, 6)
	step("again", nothing, 7)
}
