package suite

import (
	"fmt"
	"hash/crc32"
	"os"
	"strconv"
	"strings"
	"testing"
)

// useradd makes an account of the host's with a home of the suite's, until the test
// ends.
func (s *suite) useradd(name string) (uid, gid int) {
	s.t.Helper()
	run("userdel", name) // of a run that was killed
	eventually(s.t, "useradd, which may be in use", func() bool {
		out, err := run("useradd", "-M", "-U", "-d", s.path("u/"+name), "-s", "/bin/sh", name)
		if err != nil && !strings.Contains(out, "lock") {
			s.t.Fatalf("useradd: %v\n%s", err, out)
		}
		return err == nil
	})
	s.t.Cleanup(func() {
		eventually(s.t, "userdel, which may be in use", func() bool {
			out, err := run("userdel", name)
			return err == nil || !strings.Contains(out, "lock")
		})
	})
	uid, _ = strconv.Atoi(account(s.t, "passwd", name))
	gid, _ = strconv.Atoi(account(s.t, "group", name))
	s.mkdir("u/"+name, 0o755, uid, gid)
	return uid, gid
}

// account returns the numbers of one of the suite's users, or ours.
func (s *suite) account(user, group string) (uid, gid int) {
	if !root {
		return os.Getuid(), os.Getgid()
	}
	return number(s.t, account(s.t, "passwd", user)), number(s.t, account(s.t, "group", group))
}

// number reads a number.
func number(t testing.TB, s string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Recipients that users/cdb does not know are the host's accounts, found by
// qmail-getpw.
func TestAccounts(t *testing.T) {
	if !asRoot(t, "makes accounts") {
		return
	}
	s := install(t)
	s.assign(fmt.Sprintf("=joe:joe:%d:%d:%s/u/joe:::\n", joeUID, joeGID, home)) // nobody else
	name := fmt.Sprintf("q%08x", crc32.ChecksumIEEE([]byte(*work)))
	uid, gid := s.useradd(name)
	subUID, _ := s.useradd(name + "-sub")
	s.useradd(name + "-other")
	if err := os.Chown(s.path("u/"+name+"-other"), uid, gid); err != nil { // not its owner's
		t.Fatal(err)
	}
	show := "|echo $(id -u) $USER $HOME $LOCAL $EXT $DEFAULT\n"
	for _, file := range []string{name + "/.qmail", name + "/.qmail-ext", name + "/.qmail-other", name + "/.qmail-default", name + "-sub/.qmail-default"} {
		s.write("u/"+file, show)
	}
	s.start()
	mine, sub := fmt.Sprintf("success: %d_%s_%s_", uid, name, s.path("u/"+name)), fmt.Sprintf("success: %d_%[2]s-sub_%[3]s-sub_", subUID, name, s.path("u/"+name))
	for local, want := range map[string]string{
		name:                                    mine + name,
		strings.ToUpper(name):                   mine + strings.ToUpper(name),
		name + "-Ext":                           mine + name + "-Ext_Ext",
		name + "-Foo.Bar":                       mine + name + "-Foo.Bar_Foo.Bar_Foo.Bar",
		name + "-":                              mine + name + "-",
		name + "-sub-Some-Thing":                sub + name + "-sub-Some-Thing_Some-Thing_Some-Thing",
		name + "-other":                         mine + name + "-other_other",
		name + "-other-x":                       mine + name + "-other-x_other-x_other-x",
		name + "-" + strings.Repeat("long", 50): mine + name + "-" + strings.Repeat("long", 50) + "_" + strings.Repeat("long", 50) + "_" + strings.Repeat("long", 50),
	} {
		s.inject("", local+"@"+me, "\n")
		if got := s.outcome(local+"@"+me, 1); got != want+"/did_0+0+1/" {
			t.Errorf("%s: %s, want %s", local, got, want)
		}
	}
	// Nobody of that name: alias, whose home may be another one on this host, so
	// nothing is sent there. And root gets no mail as root.
	for local, user := range map[string]string{"no" + name: "alias", "root": "alias", "root-x": "alias", name + "-sub": name + "-sub"} {
		fields := strings.Split(must(t, s.path("bin/qmail-getpw"), local), "\x00")
		if len(fields) != 7 || fields[0] != user || user == "alias" && (fields[4] != "-" || fields[5] != local) {
			t.Errorf("qmail-getpw %s says %q", local, fields)
		}
	}
}
