// Package instcheck holds an installation against the table that it was made from,
// scripts/files: that everything is there, of the right type, with the right owner,
// group and mode. See spec "Administrative tools", section 12.
//
// A wrong mode below the queue is how mail stops, a wrong owner how a user becomes
// another. The check only looks; what it looks at may belong to anybody.
package instcheck

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"quail/internal/conf"
	"quail/internal/layout"
	"quail/internal/prog"
)

// StatusDifferent says that something is not as it should be.
//
// Differs from qmail, which exits with 0 whatever it finds.
const StatusDifferent = 1

// Run checks HOME against a table: all of it, or the queue alone if the argument is
// queue-only. Each difference is one line on p.Stderr.
func Run(p *prog.Process, table string) error {
	under := ""
	switch {
	case len(p.Args) == 1 && p.Args[0] == "queue-only":
		under = "queue"
	case len(p.Args) > 0:
		return prog.Usage("instcheck [ queue-only ]")
	}
	items, err := layout.Parse(table)
	if err != nil {
		return err
	}
	if _, err := os.Stat(conf.Home + "/."); err != nil {
		return prog.Fail("unable to switch to "+conf.Home, err)
	}
	c := &check{p: p, accounts: layout.NewAccounts()}
	for _, item := range items {
		if item.Path != under && !strings.HasPrefix(item.Path, under+"/") && under != "" {
			continue
		}
		if err := c.item(item); err != nil {
			return err
		}
	}
	if c.differences > 0 {
		return prog.Exit(StatusDifferent)
	}
	return nil
}

// check counts what it has found.
type check struct {
	p           *prog.Process
	differences int
	accounts    *layout.Accounts
}

func (c *check) warn(path, format string, args ...any) {
	c.differences++
	fmt.Fprintf(c.p.Stderr, "%s: warning: %s %s\n", c.p.Name, path, fmt.Sprintf(format, args...))
}

func (c *check) item(i layout.Item) error {
	path := filepath.Join(conf.Home, i.Path)
	if i.Kind == "l" {
		c.link(path, i.Target)
		return nil
	}
	if err := c.file(path, i); err != nil || i.Kind != "s" {
		return err
	}
	for n := range conf.Split {
		if err := c.file(filepath.Join(path, strconv.FormatUint(n, 10)), i); err != nil {
			return err
		}
	}
	return nil
}

// link checks a symbolic link.
func (c *check) link(path, want string) {
	switch got, err := os.Readlink(path); {
	case errors.Is(err, fs.ErrNotExist):
		c.warn(path, "does not exist")
	case err != nil:
		c.warn(path, "has wrong type")
	case got != want:
		c.warn(path, "leads to %q, not %s", got, want)
	}
}

// file checks anything else. Where an administrator has put a link in its place, what
// that leads to is meant.
func (c *check) file(path string, i layout.Item) error {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		c.warn(path, "does not exist")
		return nil
	}
	if err != nil {
		return prog.Fail("unable to stat "+path, err)
	}
	if fi.Mode().Type() != i.Type() {
		c.warn(path, "has wrong type")
		return nil
	}
	uid, gid, mode, err := c.accounts.Expected(i)
	if err != nil {
		return err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != uid {
		c.warn(path, "has wrong owner, not %s", i.Owner)
	}
	if !ok || int(st.Gid) != gid {
		c.warn(path, "has wrong group, not %s", i.Group)
	}
	if fi.Mode()&layout.ModeBits != mode {
		c.warn(path, "has wrong permissions, not %s", layout.Octal(mode))
	}
	if i.Kind == "t" && fi.Size() != 1024 {
		c.warn(path, "has wrong size, not 1024")
	}
	return nil
}
