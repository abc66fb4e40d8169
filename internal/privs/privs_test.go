package privs

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// accounts makes the package read its own lists.
func accounts(t *testing.T, passwd, group string) {
	t.Helper()
	dir := t.TempDir()
	for name, contents := range map[string]string{"passwd": passwd, "group": group} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	was := [2]string{passwdFile, groupFile}
	passwdFile, groupFile = filepath.Join(dir, "passwd"), filepath.Join(dir, "group")
	t.Cleanup(func() { passwdFile, groupFile = was[0], was[1] })
}

func TestLookup(t *testing.T) {
	accounts(t, "root:x:0:0:r:/root:/bin/sh\nqmailq2:x:7:8::/:\nqmailq:x:70:80::/:\nbad:x:70x:1::/:\nbig:x:4294967295:1::/:\nshort:x\n"+
		"badgroup:x:90:x::/:\nnogroup:x:90\n",
		"qmail:x:80:\nnofiles:x:81:joe\nmail:x:8:sue,qmailr,joe\nqmailr:x:9:xqmailr\n")
	if id, err := Account("qmailq", "qmail"); id.UID != 70 || id.GID != 80 || err != nil {
		t.Errorf("Account = %+v, %v", id, err)
	}
	if id, err := Login("qmailq"); !reflect.DeepEqual(id, Identity{UID: 70, GID: 80}) || err != nil {
		t.Errorf("Login = %+v, %v", id, err)
	}
	for _, name := range []string{"bad", "badgroup", "big", "short", "nogroup", "", "nobody"} {
		if id, err := Login(name); err == nil || id.UID != 0 || id.GID != 0 {
			t.Errorf("%s logs in as %+v, %v", name, id, err)
		}
	}
	var unknown *UnknownError
	if _, err := User("nobody"); !errors.As(err, &unknown) || err.Error() != "unable to find user nobody" {
		t.Errorf("an absent user: %v", err)
	}
	if _, err := Group("nobody"); !errors.As(err, &unknown) || err.Error() != "unable to find group nobody" {
		t.Errorf("an absent group: %v", err)
	}
	for _, name := range []string{"bad", "big", "short"} {
		if uid, err := User(name); err == nil {
			t.Errorf("%s has uid %d", name, uid)
		}
	}
	if got, err := Groups("qmailr"); !reflect.DeepEqual(got, []int{8}) || err != nil {
		t.Errorf("Groups = %v, %v, want the one that lists the whole name", got, err)
	}
}

// A group of thousands must not hide those listed after it.
func TestLongLine(t *testing.T) {
	accounts(t, "qmailq:x:70:80::/:\n", "all:x:100:"+strings.Repeat("someone,", 20000)+"joe\nqmail:x:80:qmailr\n")
	if id, err := Group("qmail"); id != 80 || err != nil {
		t.Errorf("Group = %d, %v, want 80", id, err)
	}
	if got, err := Groups("qmailr"); !reflect.DeepEqual(got, []int{80}) || err != nil {
		t.Errorf("Groups = %v, %v, want 80", got, err)
	}
}

func TestCredential(t *testing.T) {
	c, err := Identity{UID: os.Geteuid(), GID: os.Getegid()}.Credential()
	if os.Geteuid() != 0 {
		if c != nil || err != nil {
			t.Errorf("becoming oneself: %+v, %v", c, err)
		}
		if _, err := (Identity{UID: os.Geteuid() + 1}).Credential(); !errors.Is(err, syscall.EPERM) {
			t.Errorf("becoming somebody else without root: %v", err)
		}
		return
	}
	if err != nil || c == nil || !reflect.DeepEqual(c.Groups, []uint32{uint32(os.Getegid())}) {
		t.Errorf("as root: %+v, %v, want exactly one group", c, err)
	}
}
