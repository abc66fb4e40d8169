package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"quail/internal/privs"
	"quail/internal/queue"
)

// account is a user as users/assign names one.
type account struct{ name, uid, gid string }

// setUp makes the home ready to be started, or says what is in the way.
func (d *demo) setUp(ctx context.Context) error {
	if err := d.mayUseHome(); err != nil {
		return err
	}
	if err := d.isFree(); err != nil {
		return err
	}
	if !d.root {
		if err := d.mayBeAll(); err != nil {
			return err
		}
	}
	for _, script := range [][]string{
		{"scripts/install", "-t", "-b", d.bin, d.home},
		{"scripts/commands/config-fast", host, filepath.Join(d.home, "control")},
	} {
		cmd := exec.CommandContext(ctx, "sh", script...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", script[0], err)
		}
	}
	return d.assign()
}

// mayUseHome refuses a home that somebody else put there: /var/tmp is everybody's.
func (d *demo) mayUseHome() error {
	info, err := os.Lstat(d.home)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a directory of yours alone; name another: make run QMAIL=/some/where", d.home)
	}
	return nil
}

// isFree refuses to start beside another instance, or without the port.
func (d *demo) isFree() error {
	lock, busy, err := queue.In(d.home).Lock()
	if busy {
		return fmt.Errorf("another qmail-send runs in %s; end that make run with Ctrl-C first, or give this one "+
			"a home and a port of its own: make run QMAIL=%s-2 PORT=%d", d.home, d.home, d.port+1)
	}
	if err == nil {
		lock.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err := net.Listen("tcp4", d.address())
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d is taken; name another: make run PORT=%d", d.port, d.port+1)
	}
	if err != nil {
		return err
	}
	return l.Close()
}

// mayBeAll says what running without root means. The programs look their accounts
// up in /etc/passwd and /etc/group, so the caller has to be there.
func (d *demo) mayBeAll() error {
	me, err := user.Current()
	if err != nil {
		return err
	}
	group, err := user.LookupGroupId(me.Gid)
	if err != nil {
		return err
	}
	if _, err := privs.User(me.Username); err != nil {
		return fmt.Errorf("/etc/passwd does not list you: %w", err)
	}
	if _, err := privs.Group(group.Name); err != nil {
		return fmt.Errorf("/etc/group does not list your group: %w", err)
	}
	fmt.Printf("You are not root, so every program runs as %s; as root each has a user of its own.\n", me.Username)
	return nil
}

// assign gives all local addresses to HOME/alias: demo has its Maildir, others go
// by the .qmail files there. No delivery looks at the host's accounts.
func (d *demo) assign() error {
	name := "alias"
	if !d.root {
		me, err := user.Current()
		if err != nil {
			return err
		}
		name = me.Username
	}
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	d.who = account{u.Username, u.Uid, u.Gid}
	text := fmt.Sprintf("=demo:%[1]s:%[2]s:%[3]s:%[4]s/alias:::\n+:%[1]s:%[2]s:%[3]s:%[4]s/alias:-::\n.\n",
		d.who.name, d.who.uid, d.who.gid, d.home)
	file := filepath.Join(d.home, "users", "assign")
	if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	newu := d.command("qmail-newu")
	newu.Stdout = os.Stdout
	return newu.Run()
}

// address is where the SMTP service listens.
func (d *demo) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.port)) }

// command returns a program of the home, ready to be run with an environment that
// is none of the developer's.
func (d *demo) command(name string, args ...string) *exec.Cmd {
	bin := filepath.Join(d.home, "bin")
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + bin + ":/usr/local/bin:/usr/bin:/bin", "USER=demo"}
	cmd.Stderr = os.Stderr
	return cmd
}
