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
	"quail/internal/privs"
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
	items, err := parse(table)
	if err != nil {
		return err
	}
	if _, err := os.Stat(conf.Home + "/."); err != nil {
		return prog.Fail("unable to switch to "+conf.Home, err)
	}
	c := &check{p: p, uids: map[string]int{}, gids: map[string]int{}}
	for _, item := range items {
		if item.path != under && !strings.HasPrefix(item.path, under+"/") && under != "" {
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

// item is a line of the table.
type item struct {
	kind         string // one letter, see scripts/files
	mode         fs.FileMode
	target       string // of a link, which has no mode
	owner, group string
	path         string // below the home
}

// kinds are the types of the table and what each is to the system.
var kinds = map[string]fs.FileMode{
	"d": fs.ModeDir, "s": fs.ModeDir, "p": fs.ModeNamedPipe, "f": 0, "t": 0, "x": 0, "c": 0, "m": 0, "l": fs.ModeSymlink,
}

func parse(table string) (items []item, err error) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if _, known := kinds[f[0]]; !known || len(f) != 5 {
			return nil, fmt.Errorf("unable to parse this line: %s", strings.TrimSuffix(line, "\n"))
		}
		i := item{kind: f[0], owner: f[2], group: f[3], path: f[4]}
		if i.kind == "l" {
			i.target = f[1]
		} else if i.mode, err = parseMode(f[1]); err != nil {
			return nil, fmt.Errorf("unable to parse this line: %s", strings.TrimSuffix(line, "\n"))
		}
		items = append(items, i)
	}
	return items, nil
}

func parseMode(octal string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(octal, 8, 12)
	mode := fs.FileMode(n & 0o777)
	for bit, m := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if n&bit != 0 {
			mode |= m
		}
	}
	return mode, err
}

// check counts what it has found.
type check struct {
	p           *prog.Process
	differences int
	uids, gids  map[string]int
}

func (c *check) warn(path, format string, args ...any) {
	c.differences++
	fmt.Fprintf(c.p.Stderr, "%s: warning: %s %s\n", c.p.Name, path, fmt.Sprintf(format, args...))
}

func (c *check) item(i item) error {
	path := filepath.Join(conf.Home, i.path)
	if i.kind == "l" {
		c.link(path, i.target)
		return nil
	}
	if err := c.file(path, i); err != nil || i.kind != "s" {
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
func (c *check) file(path string, i item) error {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		c.warn(path, "does not exist")
		return nil
	}
	if err != nil {
		return prog.Fail("unable to stat "+path, err)
	}
	if fi.Mode().Type() != kinds[i.kind] {
		c.warn(path, "has wrong type")
		return nil
	}
	uid, gid, mode, err := c.expected(i)
	if err != nil {
		return err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != uid {
		c.warn(path, "has wrong owner, not %s", i.owner)
	}
	if !ok || int(st.Gid) != gid {
		c.warn(path, "has wrong group, not %s", i.group)
	}
	const bits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	if fi.Mode()&bits != mode {
		c.warn(path, "has wrong permissions, not %s", octal(mode))
	}
	if i.kind == "t" && fi.Size() != 1024 {
		c.warn(path, "has wrong size, not 1024")
	}
	return nil
}

func octal(mode fs.FileMode) string {
	n := uint64(mode.Perm())
	for bit, m := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&m != 0 {
			n |= bit
		}
	}
	return fmt.Sprintf("%04o", n)
}

// expected returns whose the file of a line is to be, and its mode. An installation
// that is one user's own belongs to that user, and has nothing set-uid.
func (c *check) expected(i item) (uid, gid int, mode fs.FileMode, err error) {
	user, group, mode := i.owner, i.group, i.mode
	if own := conf.UserAlias == conf.UserQueue; own {
		user, group, mode = conf.UserQueue, conf.GroupQmail, mode.Perm()
	}
	if uid, err = known(c.uids, user, privs.User); err != nil {
		return 0, 0, 0, err
	}
	gid, err = known(c.gids, group, privs.Group)
	return uid, gid, mode, err
}

// known looks a name up once.
func known(ids map[string]int, name string, look func(string) (int, error)) (int, error) {
	if id, ok := ids[name]; ok {
		return id, nil
	}
	id, err := look(name)
	ids[name] = id
	return id, err
}
