package softlimit

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quail/internal/limits"
	"quail/internal/prog"
)

func TestNumber(t *testing.T) {
	for arg, want := range map[string]uint64{
		"0": 0, "007": 7, "30000000": 30000000, "": 0, "=": limits.Hard, "18446744073709551615": limits.Hard,
		"18446744073709551616": limits.Hard, "99999999999999999999999": limits.Hard,
	} {
		if n, ok := number(arg); n != want || !ok {
			t.Errorf("%q is %d, %v, want %d", arg, n, ok, want)
		}
	}
	for _, arg := range []string{"x", "1x", "-1", "=1", "1=", " 1", "1 ", "0x10"} {
		if n, ok := number(arg); ok {
			t.Errorf("%q is %d", arg, n)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args, becomes string // without becomes: wrong usage
	}{
		{"", ""},
		{"-c =", ""},
		{"-c= -c", ""},
		{"-z next", ""},
		{"-c x next", ""},
		{"-cc next", ""},
		{"next -c x", "next -c x"},
		{"-c= -- next -c", "next -c"},
		{"-c = -f= -r = next", "next"},
	} {
		stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
		if err != nil {
			t.Fatal(err)
		}
		p := &prog.Process{Name: "softlimit", Args: strings.Fields(c.args), Env: prog.Env{"A=b"}, Stderr: stderr}
		err = Run(p)
		var become *prog.Become
		switch {
		case errors.As(err, &become):
			if got := strings.Join(become.Args, " "); got != c.becomes || !slices.Equal(become.Env, p.Env) {
				t.Errorf("softlimit %s becomes %+v", c.args, become)
			}
		case c.becomes != "" || p.Conclude(err) != 100:
			t.Errorf("softlimit %s: %v, want it to become %q", c.args, err, c.becomes)
		}
	}
}

// Each letter of the usage is an option, and each resource has one.
func TestLetters(t *testing.T) {
	letters, _, _ := strings.Cut(strings.TrimPrefix(usage, "softlimit [ -"), " ")
	for _, letter := range []byte(letters) {
		_, known := resources[letter]
		if err := Run(&prog.Process{Args: []string{"-" + string(letter)}, Stderr: os.Stderr}); letter != 'm' && !known || err == nil || err.Error() != usage {
			t.Errorf("-%c: %v", letter, err)
		}
	}
	for letter := range resources {
		if strings.IndexByte(letters, letter) < 0 {
			t.Errorf("-%c is not told of", letter)
		}
	}
}
