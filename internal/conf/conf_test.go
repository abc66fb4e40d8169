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
