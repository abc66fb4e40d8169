package prog

import (
	"slices"
	"testing"
)

// Skip takes the rest of one word and nothing else.
func TestGetoptSkip(t *testing.T) {
	p := &Process{Args: []string{"-aEbc", "-b", "c"}}
	g := p.Getopt("abE")
	var seen []byte
	for g.Next() {
		seen = append(seen, g.Opt)
		if g.Opt == 'E' {
			g.Skip()
		}
	}
	if string(seen) != "aEb" || !slices.Equal(g.Rest, []string{"c"}) {
		t.Errorf("read options %q and left %q", seen, g.Rest)
	}
}
