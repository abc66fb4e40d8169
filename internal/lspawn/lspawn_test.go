package lspawn

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quail/internal/cdb"
	"quail/internal/cdbfile"
	"quail/internal/conf"
	"quail/internal/delivery"
	"quail/internal/privs"
	"quail/internal/prog"
	"quail/internal/users"
	"quail/internal/warm"
)

// testHome makes a home with an empty bin and users, and qmail-lspawn's state.
func testHome(t *testing.T) *lspawn {
	t.Helper()
	before := conf.Home
	t.Cleanup(func() { conf.Home = before })
	conf.Home = t.TempDir()
	for _, dir := range []string{"bin", "users"} {
		if err := os.Mkdir(filepath.Join(conf.Home, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &lspawn{
		p:        &prog.Process{Args: []string{"./Mailbox"}, Env: prog.Env{"PATH=/usr/bin:/bin"}},
		keeper:   warm.NewKeeper(warm.Settings{Name: t.Name(), Log: os.Stderr, Now: time.Now}),
		getpw:    privs.Identity{UID: os.Getuid(), GID: os.Getgid()},
		assigned: cdbfile.Keep(filepath.Join(conf.Home, "users/cdb")),
	}
}

func script(t *testing.T, name, commands string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(conf.Home, "bin", name), []byte("#!/bin/sh\n"+commands+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// assign makes users/cdb of one record for joe.
func assign(t *testing.T, record string) {
	t.Helper()
	name := filepath.Join(conf.Home, "users/cdb")
	d, err := cdbfile.Create(name + ".tmp")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []cdb.Record{{Key: "", Value: "-"}, {Key: "!joe\x00", Value: record}} {
		if err := d.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := d.Publish(name); err != nil {
		t.Fatal(err)
	}
}

// What users/cdb says comes first; a record that makes no sense is our bug to the
// user, as in qmail, and a file that makes none is trouble with the file.
func TestAssigned(t *testing.T) {
	l := testHome(t)
	for _, c := range []struct {
		record string
		status int
	}{
		{"joe\x001001\x001002\x00/home/joe\x00\x00", 0},
		{"joe\x001001\x001002\x00/home/joe\x00", delivery.StatusBug},
		{"", delivery.StatusBug},
		{"joe\x00x\x001002\x00/home/joe\x00\x00", delivery.StatusBug},
	} {
		assign(t, c.record)
		a, status := l.find("Joe")
		if status != c.status {
			t.Errorf("record %q: status %d, want %d", c.record, status, c.status)
		}
		if want := (users.Assignment{User: "joe", UID: 1001, GID: 1002, Home: "/home/joe"}); status == 0 && a != want {
			t.Errorf("record %q: %+v, want %+v", c.record, a, want)
		}
	}
	for _, contents := range []string{"", "garbage", strings.Repeat("\x00", 4096)} {
		if err := os.WriteFile(filepath.Join(conf.Home, "users/cdb"), []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, status := l.find("joe"); status != delivery.StatusCdb {
			t.Errorf("users/cdb %.10q: status %d, want %d", contents, status, delivery.StatusCdb)
		}
	}
}

// Everybody else is asked for of qmail-getpw, whose status is passed on.
func TestAsk(t *testing.T) {
	l := testHome(t)
	if _, status := l.find("joe"); status != delivery.StatusGetpwSoft {
		t.Errorf("without qmail-getpw: status %d, want %d", status, delivery.StatusGetpwSoft)
	}
	for _, c := range []struct {
		commands string
		status   int
	}{
		{`test "$1" = joe-X && printf 'joe\0001001\0001002\000/home/joe\000-\000X\000'`, 0},
		{"printf 'joe\\0001001\\0'", delivery.StatusBug},
		{"exit 0", delivery.StatusBug},
		{"exit 116", 116},
		{"exit 100", 100},
		{"exit 2", delivery.StatusSoft}, // a Go program's crash
		{"kill -9 $$", delivery.StatusSoft},
		{"exec yes", delivery.StatusSoft}, // without end
	} {
		script(t, "qmail-getpw", c.commands)
		if a, status := l.find("joe-X"); status != c.status || status == 0 && a.Ext != "X" {
			t.Errorf("qmail-getpw %q: %+v, status %d, want %d", c.commands, a, status, c.status)
		}
	}
}

// Who must not be delivered to never gets a process.
func TestCommandRefuses(t *testing.T) {
	l := testHome(t)
	request := func(recipient string) delivery.Request { return delivery.Request{Recipient: recipient} }
	if c, status := l.command(request("@me.example")); c.Args != nil || status != 0 {
		t.Errorf("an empty local part: %q, status %d, want it thrown away", c.Args, status)
	}
	assign(t, "root\x000\x000\x00/root\x00\x00")
	if c, status := l.command(request("joe@me.example")); c.Args != nil || status != delivery.StatusRoot {
		t.Errorf("root: %q, status %d, want %d", c.Args, status, delivery.StatusRoot)
	}
	assign(t, "me\x00"+strconv.Itoa(os.Getuid()+1)+"\x00"+strconv.Itoa(os.Getgid())+"\x00/\x00\x00")
	if c, status := l.command(request("joe@me.example")); status == 0 && (c.As == nil || c.As.UID == 0) {
		t.Errorf("joe is to be served by %q as %+v", c.Args, c.As)
	}
}

// Without a qmail-local, or with one that cannot be run, mail has to wait.
func TestUnable(t *testing.T) {
	for err, want := range map[error]int{
		syscall.ENOENT:  delivery.StatusExecSoft,
		syscall.EACCES:  delivery.StatusExecSoft,
		syscall.ENOEXEC: delivery.StatusExecSoft,
		syscall.ENOMEM:  delivery.StatusExecSoft,
		syscall.E2BIG:   delivery.StatusExecHard,
	} {
		if got := unable(&os.PathError{Op: "fork/exec", Path: "bin/qmail-local", Err: err}); got != want {
			t.Errorf("%v: status %d, want %d", err, got, want)
		}
	}
}
