package accounts

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"quail/internal/prog"
	"quail/internal/users"
)

func TestParseSources(t *testing.T) {
	for _, c := range []struct {
		text   string
		compat bool
		want   sources
	}{
		{"", false, sources{fileFirst: true}},
		{"group: files ldap\n", false, sources{fileFirst: true}},
		{"passwd: files", false, sources{fileFirst: true}},
		{"passwd:\n", false, sources{fileFirst: true}},
		{"passwd:\tfiles systemd # ldap\n", false, sources{fileFirst: true}},
		{"#passwd: ldap\n passwd : files sss\n", false, sources{true, true}},
		{"passwd: sss files\n", false, sources{false, true}},
		{"passwd: files [NOTFOUND=return SUCCESS=continue] systemd\n", false, sources{fileFirst: true}},
		{"passwd: files [ NOTFOUND = return ] db\n", false, sources{true, true}},
		{"passwd: files [unclosed ldap\n", false, sources{fileFirst: true}},
		{"passwd: compat\n", false, sources{fileFirst: true}},
		{"passwd: compat\npasswd_compat: nis\n", true, sources{false, true}},
		{"passwd: files\n", true, sources{fileFirst: true}},
		{"passwd: files compat\n", true, sources{false, true}},
	} {
		if got := parseSources(c.text, func() bool { return c.compat }); got != c.want {
			t.Errorf("parseSources(%q, %v) = %+v, want %+v", c.text, c.compat, got, c.want)
		}
	}
}

// Who was passed over, and what stays unknown where no program may be run. More is in
// the tests of qmail-getpw.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	passwd := fmt.Sprintf("joe-x:x:0:0::%[1]s:\njoe:x:12345:1::%[1]s:\naway:x:1:1::/nowhere:\nhomeless:x:1:1:::\nalias:x:3:4::/alias:\n", dir)
	alias := func(ext string) users.Assignment {
		return users.Assignment{User: "alias", UID: 3, GID: 4, Home: "/alias", Dash: "-", Ext: ext}
	}
	for _, c := range []struct {
		local string
		want  Found
	}{
		{"joe-x-y", Found{alias("joe-x-y"), []Passed{{"joe-x", "its user id is 0"}, {"joe", "it does not own its home directory"}}}},
		{"away", Found{alias("away"), []Passed{{"away", "its home directory cannot be reached: file does not exist"}}}},
		{"homeless-", Found{alias("homeless-"), []Passed{{"homeless", "it has no home directory"}}}},
		{"nobody", Found{alias("nobody"), nil}},
	} {
		known := &Known{P: &prog.Process{Dir: "/"}, loaded: true, passwd: []byte(passwd), sources: sources{fileFirst: true}}
		if got, err := known.Find(c.local); !reflect.DeepEqual(got, c.want) || err != nil {
			t.Errorf("Find(%q) = %+v, %v, want %+v", c.local, got, err, c.want)
		}
	}
	known := &Known{P: &prog.Process{Dir: "/"}, FilesOnly: true, loaded: true, passwd: []byte(passwd), sources: sources{true, true}}
	if got, err := known.Find("nobody"); !errors.Is(err, ErrElsewhere) {
		t.Errorf("with other sources of accounts: %+v, %v", got, err)
	}
	known = &Known{P: &prog.Process{Dir: "/"}, loaded: true, sources: sources{fileFirst: true}}
	if got, err := known.Find("nobody"); !errors.Is(err, ErrNoAlias) {
		t.Errorf("without alias: %+v, %v", got, err)
	}
}

// FuzzFind: for any passwd and any local part, the account that is found is one of
// a line of the file, and with the extension it spells the local part.
func FuzzFind(f *testing.F) {
	f.Add("joe:x:1:2::/:\njoe-smith:x:1:2::/:\nalias:x:3:4::/:/bin/sh", "Joe-smith-X")
	f.Add("alias:x:3:4::/:/bin/sh", "joe")
	f.Add("+joe:x:1:2::/:\n", "+joe")
	f.Fuzz(func(t *testing.T, passwd, local string) {
		p := &prog.Process{Dir: "/", Stderr: os.Stderr}
		known := &Known{P: p, loaded: true, passwd: []byte(passwd), sources: sources{fileFirst: true}}
		a, err := known.Find(local)
		if err != nil {
			return
		}
		line := fmt.Sprintf("%s:", a.User)
		if !strings.HasPrefix(passwd, line) && !strings.Contains(passwd, "\n"+line) {
			t.Errorf("local %q: account %q is not in passwd", local, a.User)
		}
		switch {
		case a.User == "alias" && a.Dash == "-" && a.Ext == local:
		case a.Dash == "" && a.Ext == "" && strings.EqualFold(a.User, local):
		case a.Dash == "-" && strings.HasSuffix(local, "-"+a.Ext) && strings.EqualFold(a.User, strings.TrimSuffix(local, "-"+a.Ext)):
		default:
			t.Errorf("local %q: found %+v", local, a)
		}
		if a.User != "alias" && a.UID == 0 {
			t.Errorf("local %q: found a root account %+v", local, a)
		}
	})
}
