// Package layout reads the table of what an installation consists of, scripts/files,
// whose comment has its form: what there is to be, whose, and with which mode.
//
// The table is linked into the programs that check by it. It is the administrator's
// copy of ours, and an error in it is one of the build.
package layout

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"quail/internal/conf"
	"quail/internal/privs"
)

// Item is a line of the table.
type Item struct {
	Kind         string // one letter
	Mode         fs.FileMode
	Target       string // of a link, which has no mode
	Owner, Group string
	Path         string // below the home
}

// types are the kinds of the table and what each is to the system.
var types = map[string]fs.FileMode{
	"d": fs.ModeDir, "s": fs.ModeDir, "p": fs.ModeNamedPipe, "f": 0, "t": 0, "x": 0, "c": 0, "m": 0, "l": fs.ModeSymlink,
}

// Type returns what the item is to the system.
func (i Item) Type() fs.FileMode { return types[i.Kind] }

// Parse reads a table.
func Parse(table string) (items []Item, err error) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if _, known := types[f[0]]; !known || len(f) != 5 {
			return nil, fmt.Errorf("unable to parse this line: %s", strings.TrimSuffix(line, "\n"))
		}
		i := Item{Kind: f[0], Owner: f[2], Group: f[3], Path: f[4]}
		if i.Kind == "l" {
			i.Target = f[1]
		} else if i.Mode, err = parseMode(f[1]); err != nil {
			return nil, fmt.Errorf("unable to parse this line: %s", strings.TrimSuffix(line, "\n"))
		}
		items = append(items, i)
	}
	return items, nil
}

// special are the bits of a mode beyond the permissions.
var special = map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky}

func parseMode(octal string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(octal, 8, 12)
	mode := fs.FileMode(n & 0o777)
	for bit, m := range special {
		if n&bit != 0 {
			mode |= m
		}
	}
	return mode, err
}

// ModeBits are those of a file's mode that the table is about.
const ModeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// Octal prints a mode as chmod takes it.
func Octal(mode fs.FileMode) string {
	n := uint64(mode.Perm())
	for bit, m := range special {
		if mode&m != 0 {
			n |= bit
		}
	}
	return fmt.Sprintf("%04o", n)
}

// Accounts finds the numbers of the suite's users and groups, each once.
type Accounts struct{ users, groups map[string]int }

// NewAccounts returns one that has looked up nothing yet.
func NewAccounts() *Accounts { return &Accounts{map[string]int{}, map[string]int{}} }

// Expected returns whose an item is to be, and its mode. An installation that is one
// user's own belongs to that user, and has nothing set-uid.
func (a *Accounts) Expected(i Item) (uid, gid int, mode fs.FileMode, err error) {
	user, group, mode := i.Owner, i.Group, i.Mode
	if own := conf.UserAlias == conf.UserQueue; own {
		user, group, mode = conf.UserQueue, conf.GroupQmail, mode.Perm()
	}
	if uid, err = known(a.users, user, privs.User); err != nil {
		return 0, 0, 0, err
	}
	gid, err = known(a.groups, group, privs.Group)
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
