package conf

import "testing"

func TestDefaults(t *testing.T) {
	if Home != "/var/qmail" || Split != 23 || Spawn != 120 || Patrn != 2 || Break != '-' {
		t.Errorf("conf = %q %d %d %o %q, want qmail's own defaults", Home, Split, Spawn, Patrn, Break)
	}
}

func TestNumberRefuses(t *testing.T) {
	for _, s := range []string{"", "0", "-1", "x", "99999999999"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("number(%q) was accepted", s)
				}
			}()
			number(s, 10)
		}()
	}
}

func TestMarkMustFit(t *testing.T) {
	for _, c := range []struct {
		mark string
		fits bool
	}{
		{"", true}, // a build without make
		{"word:/var/qmail:23:alias:", true},
		{"word:/var/qmail2:23:alias:", false},
		{"word:/var/qmail:2:alias:", false},
		{"word:/var/qmail:23:joe:", false},
		{"word:/x/var/qmail:23:alias", false},
	} {
		func() {
			defer func() {
				if fits := recover() == nil; fits != c.fits {
					t.Errorf("mark %q taken: %v, want %v", c.mark, fits, c.fits)
				}
			}()
			consistent(c.mark)
		}()
	}
}
