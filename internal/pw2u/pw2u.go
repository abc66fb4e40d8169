// Package pw2u makes the text of users/assign out of the accounts in a file like
// /etc/passwd. See spec "Administrative tools", section 6.
//
// The accounts may come from a directory service, where not everything in a field is
// the administrator's own: a line that is not complete, or has no number for an id,
// is none, and so is one with a NUL. What is printed decides the user id of
// deliveries, so uid 0 is never in it.
package pw2u

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/mailaddr"
	"quail/internal/prog"
	"quail/internal/users"
)

// Run is qmail-pw2u. Its messages name no cause: they are qmail's, to the byte.
func Run(p *prog.Process) error {
	t := &table{dash: "-", separator: string(conf.Break), byUser: map[string]users.Assignment{}}
	if err := t.options(p); err != nil {
		return err
	}
	if err := t.controls(control.Dir(filepath.Join(conf.Home, "users"))); err != nil {
		return errors.New("unable to read controls")
	}
	t.out = bufio.NewWriter(p.Stdout)
	err := t.print(p.Stdin)
	if t.out.Flush() != nil {
		return errors.New("unable to write output")
	}
	return err
}

// table is the text in the making.
type table struct {
	homes     byte   // what is done about an absent home: option o, h or H
	capitals  bool   // names may have capital letters
	separator string // between a name and what a user may choose; "" gives no such addresses
	dash      string

	include, exclude       control.Map
	hasInclude, hasExclude bool
	mailnames              control.Map

	byUser   map[string]users.Assignment // by name in lower case
	hasAlias bool
	out      *bufio.Writer
}

func (t *table) options(p *prog.Process) error {
	t.homes = 'o'
	g := p.Getopt("/ohHuUCc:")
	for g.Next() {
		switch g.Opt {
		case '/':
			t.dash = "-/"
		case 'o', 'h', 'H':
			t.homes = g.Opt
		case 'u', 'U':
			t.capitals = g.Opt == 'u'
		case 'C':
			t.separator = ""
		case 'c':
			t.separator = g.Arg[:min(len(g.Arg), 1)]
		default:
			return prog.Exit(prog.StatusPermanent)
		}
	}
	if strings.ContainsAny(t.separator, ":\n") {
		return prog.Usage("qmail-pw2u [ -/ohHuUC ] [ -cchar ]")
	}
	return nil
}

func (t *table) controls(dir control.Dir) (err error) {
	if t.include, t.hasInclude, err = dir.Set("include"); err != nil {
		return err
	}
	if t.exclude, t.hasExclude, err = dir.Set("exclude"); err != nil {
		return err
	}
	t.mailnames, _, err = dir.Map("mailnames")
	return err
}

func (t *table) print(passwd io.Reader) error {
	if err := eachLine(passwd, t.account); err != nil {
		return err
	}
	if !t.hasAlias {
		return fmt.Errorf("unable to find %s user", conf.UserAlias)
	}
	if err := optional("subusers", func(f io.Reader) error { return eachLine(f, t.subuser) }); err != nil {
		return err
	}
	if err := optional("append", t.copy); err != nil {
		return err
	}
	t.out.WriteString(".\n")
	return nil
}

// account prints the lines for one line of passwd.
func (t *table) account(line string) error {
	a, ok := parse(line)
	name := mailaddr.Lower(a.User)
	switch {
	case !ok || a.UID == 0:
		return nil
	case !t.capitals && name != a.User:
		return nil
	case t.hasInclude && !t.include.Has(a.User), t.hasExclude && t.exclude.Has(a.User):
		return nil
	}
	if t.homes != 'H' {
		if ok, err := t.owned(a); !ok {
			return err
		}
	}
	t.byUser[name] = a
	if a.User == conf.UserAlias {
		t.hasAlias = true
		t.out.WriteString(t.extended(a, "").Prefix(""))
	}
	names := a.User
	if listed, ok := t.mailnames.Lookup(a.User); ok {
		names = listed
	}
	for address := range strings.SplitSeq(names, ":") {
		if address != "" {
			t.address(address, a, t.extended(a, ""))
		}
	}
	return nil
}

// parse divides a line NAME:PASSWORD:UID:GID:GECOS:HOME:SHELL.
//
// Differs from qmail: an id has to be a number as a whole. One that is not was
// printed as it was, and read as another one later.
func parse(line string) (a users.Assignment, ok bool) {
	f := strings.Split(line, ":")
	if len(f) < 7 || f[0] == "" || strings.Contains(line, "\x00") {
		return users.Assignment{}, false
	}
	uid, err1 := users.ParseID(f[2])
	gid, err2 := users.ParseID(f[3])
	return users.Assignment{User: f[0], UID: uid, GID: gid, Home: f[5]}, err1 == nil && err2 == nil
}

// owned reports whether the home directory is there and the account's own. An error
// is a reason to stop.
func (t *table) owned(a users.Assignment) (bool, error) {
	home := a.Home
	if home != "" && !filepath.IsAbs(home) { // no name is no directory's
		home = filepath.Join(conf.Home, home)
	}
	fi, err := os.Stat(home)
	if errors.Is(err, fs.ErrNotExist) && t.homes == 'o' {
		return false, nil
	}
	if err != nil {
		return false, errors.New("unable to stat " + a.Home)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == a.UID, nil
}

// subuser prints the lines for a line NAME:USER:EXT: of users/subusers.
func (t *table) subuser(line string) error {
	f := strings.Split(line, ":")
	if len(f) < 4 || strings.Contains(line, "\x00") {
		return nil
	}
	a, ok := t.byUser[mailaddr.Lower(f[1])]
	if !ok {
		return fmt.Errorf("unable to find %s user for subuser", f[1])
	}
	t.address(f[0], t.extended(a, f[2]), t.extended(a, f[2]+"-"))
	return nil
}

// extended returns the assignment to .qmail files of a that are named by ext.
func (t *table) extended(a users.Assignment, ext string) users.Assignment {
	a.Dash, a.Ext = t.dash, ext
	return a
}

// address prints the line for an address and the one for all that begin with it.
func (t *table) address(name string, exact, prefix users.Assignment) {
	t.out.WriteString(exact.Exact(name))
	if t.separator != "" {
		t.out.WriteString(prefix.Prefix(name + t.separator))
	}
}

// copy adds what is in f.
func (t *table) copy(f io.Reader) error {
	if _, err := io.Copy(t.out, f); err != nil {
		return errRead
	}
	return nil
}

var errRead = errors.New("unable to read input")

// eachLine calls use with every line of r, without its line feed; the last one need
// not have one.
func eachLine(r io.Reader, use func(line string) error) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err != nil && err != io.EOF {
			return errRead
		}
		if uerr := use(strings.TrimSuffix(line, "\n")); uerr != nil || err == io.EOF {
			return uerr
		}
	}
}

// optional calls use with a file in the directory users, if it is there.
func optional(name string, use func(io.Reader) error) error {
	f, err := os.Open(filepath.Join(conf.Home, "users", name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errRead
	}
	defer f.Close()
	return use(f)
}
