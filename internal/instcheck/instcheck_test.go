package instcheck

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/layout"
	"quail/internal/prog"
	"quail/scripts"
)

// me sets the accounts to whoever runs the test, as make ACCOUNTS=own does.
func me(t *testing.T) {
	t.Helper()
	name := func(file string, id int) string {
		contents, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(contents)) {
			if f := strings.Split(line, ":"); len(f) > 2 && f[2] == strconv.Itoa(id) {
				return f[0]
			}
		}
		t.Fatalf("%s has no %d", file, id)
		return ""
	}
	user := name("/etc/passwd", os.Getuid())
	conf.UserAlias, conf.UserQueue = user, user
	conf.GroupQmail = name("/etc/group", os.Getgid())
}

// install makes what the table says, in a new home.
func install(t *testing.T, table string) {
	t.Helper()
	conf.Home = t.TempDir()
	items, err := layout.Parse(table)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range items {
		path := filepath.Join(conf.Home, i.Path)
		switch i.Kind {
		case "d", "s":
			err = os.MkdirAll(path, 0o700)
			for n := uint64(0); i.Kind == "s" && n < conf.Split && err == nil; n++ {
				sub := filepath.Join(path, strconv.FormatUint(n, 10))
				if err = os.MkdirAll(sub, 0o700); err == nil {
					err = os.Chmod(sub, i.Mode.Perm())
				}
			}
		case "p":
			err = unix.Mkfifo(path, 0o600)
		case "t":
			err = os.WriteFile(path, make([]byte, 1024), 0o600)
		case "l":
			err = os.Symlink(i.Target, path)
		default:
			err = os.WriteFile(path, nil, 0o600)
		}
		if err == nil && i.Kind != "l" {
			err = os.Chmod(path, i.Mode.Perm())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// do runs the program and returns its status and what it said, the home cut out.
func do(t *testing.T, table string, args ...string) (status int, said string) {
	t.Helper()
	stderr, err := os.Create(filepath.Join(t.TempDir(), "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	p := &prog.Process{Name: "instcheck", Args: args, Stderr: stderr}
	status = p.Do(func(p *prog.Process) error { return Run(p, table) })
	text, _ := os.ReadFile(stderr.Name())
	return status, strings.ReplaceAll(string(text), conf.Home, "HOME")
}

// The table that install uses is understood, and what is made from it is right.
func TestTable(t *testing.T) {
	me(t)
	install(t, scripts.Files)
	for _, args := range [][]string{nil, {"queue-only"}} {
		if status, said := do(t, scripts.Files, args...); status != 0 || said != "" {
			t.Errorf("%q: %d\n%s", args, status, said)
		}
	}
}

func TestDifferences(t *testing.T) {
	me(t)
	path := func(name string) string { return filepath.Join(conf.Home, name) }
	for _, c := range []struct {
		what  string
		spoil func() error
		says  string // without "instcheck: warning: HOME/"; "" if that is no difference
		whole bool   // not seen with queue-only
	}{
		{"absent program", func() error { return os.Remove(path("bin/qmail-inject")) }, "bin/qmail-inject does not exist", true},
		{"mode of a program", func() error { return os.Chmod(path("bin/qmail-start"), 0o755) },
			"bin/qmail-start has wrong permissions, not 0700", true},
		{"set-uid", func() error { return os.Chmod(path("bin/qmail-inject"), 0o755|os.ModeSetuid) },
			"bin/qmail-inject has wrong permissions, not 0755", true},
		{"sticky directory", func() error { return os.Chmod(path("control"), 0o755|os.ModeSticky) },
			"control has wrong permissions, not 0755", true},
		{"absent link", func() error { return os.Remove(path("bin/mailq")) }, "bin/mailq does not exist", true},
		{"link elsewhere", func() error {
			os.Remove(path("bin/mailq"))
			return os.Symlink("se\x1bn", path("bin/mailq"))
		}, `bin/mailq leads to "se\x1bn", not sendmail`, true},
		{"no link", func() error {
			os.Remove(path("bin/mailq"))
			return os.WriteFile(path("bin/mailq"), nil, 0o755)
		}, "bin/mailq has wrong type", true},
		{"trigger", func() error {
			os.Remove(path("queue/lock/trigger"))
			return os.WriteFile(path("queue/lock/trigger"), nil, 0o622)
		}, "queue/lock/trigger has wrong type", false},
		{"tcpto", func() error { return os.Truncate(path("queue/lock/tcpto"), 1023) }, "queue/lock/tcpto has wrong size, not 1024", false},
		{"subdirectory", func() error { return os.Remove(path("queue/mess/22")) }, "queue/mess/22 does not exist", false},
		{"mode of a subdirectory", func() error { return os.Chmod(path("queue/info/3"), 0o755) },
			"queue/info/3 has wrong permissions, not 0700", false},
		{"queue by a link", func() error {
			if err := os.Rename(path("queue"), path("elsewhere")); err != nil {
				return err
			}
			return os.Symlink("elsewhere", path("queue"))
		}, "", false},
	} {
		install(t, scripts.Files)
		if err := c.spoil(); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{nil, {"queue-only"}} {
			wantStatus, want := 1, "instcheck: warning: HOME/"+c.says+"\n"
			if c.says == "" || c.whole && args != nil {
				wantStatus, want = 0, ""
			}
			if status, said := do(t, scripts.Files, args...); status != wantStatus || said != want {
				t.Errorf("%s, %q: %d, %q, want %d, %q", c.what, args, status, said, wantStatus, want)
			}
		}
	}
}

// With accounts of the suite, the names of the table count. The test has root's alone.
func TestOwners(t *testing.T) {
	me(t)
	user, group := conf.UserQueue, conf.GroupQmail
	conf.UserAlias = "somebody else"
	line := "d 0755 " + user + " " + group + " .\n"
	install(t, line)
	if status, said := do(t, line); status != 0 || said != "" {
		t.Errorf("%d, %q", status, said)
	}
	status, said := do(t, "d 0755 bin bin .\n")
	if want := "instcheck: warning: HOME has wrong owner, not bin\ninstcheck: warning: HOME has wrong group, not bin\n"; status != 1 || said != want {
		t.Errorf("%d, %q, want 1, %q", status, said, want)
	}
	if os.Getuid() == 0 {
		if err := os.WriteFile(conf.Home+"/x", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(conf.Home+"/x", 0o711|os.ModeSetuid); err != nil {
			t.Fatal(err)
		}
		if status, said := do(t, "x 04711 root root x\n"); status != 0 || said != "" {
			t.Errorf("set-uid: %d, %q", status, said)
		}
	}
}

func TestErrors(t *testing.T) {
	me(t)
	conf.Home = t.TempDir()
	for _, c := range []struct {
		table  string
		args   []string
		status int
		says   string
	}{
		{"", []string{"queue"}, 100, "usage: instcheck [ queue-only ]"},
		{"q 0755 root qmail x\n", nil, 111, "fatal: unable to parse this line: q 0755 root qmail x"},
		{"d 0855 root qmail x\n", nil, 111, "fatal: unable to parse this line: d 0855 root qmail x"},
		{"d 0755 root x\n", nil, 111, "fatal: unable to parse this line: d 0755 root x"},
	} {
		if status, said := do(t, c.table, c.args...); status != c.status || said != "instcheck: "+c.says+"\n" {
			t.Errorf("%q: %d, %q, want %d, %q", c.table, status, said, c.status, c.says)
		}
	}
	conf.Home += "/absent"
	if status, said := do(t, "d 0755 root qmail .\n"); status != 111 || said != "instcheck: fatal: unable to switch to HOME: file does not exist\n" {
		t.Errorf("no home: %d, %q", status, said)
	}
	conf.UserAlias, conf.Home = "somebody else", t.TempDir()
	if status, said := do(t, "d 0755 nosuchuser qmail .\n"); status != 111 || said != "instcheck: fatal: unable to find user nosuchuser\n" {
		t.Errorf("no account: %d, %q", status, said)
	}
}
