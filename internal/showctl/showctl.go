// Package showctl is qmail-showctl: it prints how the suite was built and what
// every control file means. See spec "Administrative tools", section 4.
//
// The files are the administrator's and are printed to a terminal, so every byte
// of a value that is not printable ASCII comes out as a question mark. What it
// says of a file is what the file says, not what a program makes of it: a file
// that is present and empty has an empty value.
package showctl

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quail/internal/ascii"
	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/nexthop"
	"quail/internal/privs"
	"quail/internal/prog"
)

const (
	isDefault = "(Default.) "
	trouble   = "Oops! Trouble reading this file.\n"
)

// Run is the program. Unlike the rest of the suite it reports its own failures on
// standard output: that is where people look for them.
func Run(p *prog.Process) error {
	ids, err := lookUpIDs()
	if err != nil {
		fmt.Fprintf(p.Stderr, "fatal: %v\n", err)
		return prog.Exit(prog.StatusTemporary)
	}
	out := bufio.NewWriter(p.Stdout)
	head(out, ids)
	complaint := report(out, control.In(conf.Home))
	if complaint != "" {
		io.WriteString(out, complaint)
	}
	if err := out.Flush(); err != nil {
		return prog.Unwritten(err)
	}
	if complaint != "" {
		return prog.Exit(prog.StatusTemporary)
	}
	return nil
}

// ids are the numbers of the suite's accounts, in the order they are printed.
type ids struct{ users, groups []string }

func lookUpIDs() (ids, error) {
	var found ids
	for _, name := range []string{
		conf.UserAlias, conf.UserDaemon, conf.UserLog, "root",
		conf.UserPasswd, conf.UserQueue, conf.UserRemote, conf.UserSend,
	} {
		id, err := privs.User(name)
		if err != nil {
			return ids{}, err
		}
		found.users = append(found.users, fmt.Sprint(id))
	}
	for _, name := range []string{conf.GroupNofiles, conf.GroupQmail} {
		id, err := privs.Group(name)
		if err != nil {
			return ids{}, err
		}
		found.groups = append(found.groups, fmt.Sprint(id))
	}
	return found, nil
}

// head prints what was decided when the suite was linked.
func head(w io.Writer, found ids) {
	fmt.Fprintf(w, "qmail home directory: %s.\n", conf.Home)
	fmt.Fprintf(w, "user-ext delimiter: %c.\n", conf.Break)
	fmt.Fprintf(w, "paternalism (in decimal): %d.\n", conf.Patrn)
	fmt.Fprintf(w, "silent concurrency limit: %d.\n", conf.Spawn)
	fmt.Fprintf(w, "subdirectory split: %d.\n", conf.Split)
	fmt.Fprintf(w, "user ids: %s.\n", strings.Join(found.users, ", "))
	fmt.Fprintf(w, "group ids: %s.\n", strings.Join(found.groups, ", "))
}

// report prints all control files and, after everything that qmail would print,
// where Quail differs from it. It returns why it had to stop, if it had to.
func report(w io.Writer, dir control.Dir) (complaint string) {
	// A trailing "/." asks for what chdir needs: a directory that may be searched.
	if _, err := os.Stat(conf.Home + "/."); err != nil {
		return "Oops! Unable to chdir to " + conf.Home + ".\n"
	}
	if _, err := os.Stat(string(dir) + "/."); err != nil {
		return "Oops! Unable to chdir to control.\n"
	}
	names, err := fileNames(dir)
	if err != nil {
		return "Oops! Unable to open current directory.\n"
	}
	me, meSet, err := dir.Line(control.Me)
	if err != nil {
		return "Oops! Trouble reading control/me." // no newline, as ever
	}
	v := view{dir: dir}
	if meSet {
		v.me = &me
	}
	for _, s := range control.Registry {
		if s.New && !slices.Contains(names, s.Name) {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s", s.Name, v.describe(s))
	}
	for _, name := range names {
		if _, known := control.Find(name); !known {
			fmt.Fprintf(w, "\n%s: %s", name, v.describeForeign(name))
		}
	}
	differences(w)
	return ""
}

// fileNames lists a directory in the order that it is in, as qmail does.
func fileNames(dir control.Dir) ([]string, error) {
	f, err := os.Open(string(dir))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// view is a control directory and what its file me says, if there is one.
type view struct {
	dir control.Dir
	me  *string
}

// describe returns everything that follows the name of a file and ": ".
func (v view) describe(s control.Setting) string {
	switch {
	case s.Name == "morercpthosts":
		return v.describeList(v.inLightOfRcpthosts(s))
	case s.Kind == control.KindCompiled:
		return v.describeCompiled(s)
	case s.Kind == control.KindSecrets:
		return v.describeSecrets(s)
	case s.Kind == control.KindPEM:
		return v.describePEM(s)
	case s.Kind == control.KindList:
		return v.describeList(s)
	case s.Kind == control.KindNumber:
		return v.describeNumber(s)
	}
	return v.describeLine(s)
}

func (v view) describeLine(s control.Setting) string {
	value, set, err := v.dir.Line(s.Name)
	switch {
	case err != nil:
		return trouble
	case set:
		return sentence(s.Text, value)
	case s.Absent != "":
		return isDefault + s.Absent + "\n"
	case s.Default != control.Me:
		return isDefault + sentence(s.Text, s.Default)
	case v.me != nil:
		return isDefault + sentence(s.Text, *v.me)
	}
	// Without me, programs that insist on a name have the file's own as the last
	// resort, "defaulthost" for one.
	return isDefault + sentence(s.Text, s.Name)
}

func (v view) describeNumber(s control.Setting) string {
	value, _, err := v.dir.Line(s.Name)
	if err != nil {
		return trouble
	}
	if value == "" || value[0] < '0' || value[0] > '9' {
		return isDefault + sentence(s.Text, s.Default)
	}
	// Differs from qmail: a number too large is shown as the programs read it, at
	// the largest one there is, instead of wrapped.
	return sentence(s.Text, fmt.Sprint(control.Number(value)))
}

func (v view) describeList(s control.Setting) string {
	items, set, err := v.dir.List(s.Name)
	if err != nil {
		return trouble
	}
	if !set {
		return isDefault + s.Absent + "\n"
	}
	var out strings.Builder
	out.WriteString("\n")
	for _, item := range items {
		out.WriteString(sentence(s.Text, item))
	}
	return out.String()
}

// describeSecrets says whose secrets there are, and no more.
func (v view) describeSecrets(s control.Setting) string {
	items, set, err := v.dir.Secrets(s.Name)
	switch {
	case errors.Is(err, control.ErrExposed):
		return "Oops! This file is not used: " + control.ErrExposed.Error() + ".\n"
	case err != nil:
		return trouble
	case !set:
		return isDefault + s.Absent + "\n"
	}
	out := "\n"
	for _, item := range items {
		if secret, ok := nexthop.ParseSecret(item); ok {
			out += sentence(s.Text, secret.User+" at "+secret.Relay)
		} else {
			out += "Oops! A line is not in form.\n" // it may have a secret all the same
		}
	}
	return out
}

// describePEM counts certificates.
func (v view) describePEM(s control.Setting) string {
	text, set, err := v.dir.Text(s.Name)
	if err != nil {
		return trouble
	}
	if !set {
		return isDefault + s.Absent + "\n"
	}
	const first = "-----BEGIN CERTIFICATE-----"
	return sentence(s.Text, fmt.Sprintf("%d certificate(s)", strings.Count(text, first)))
}

// inLightOfRcpthosts returns s, the setting morercpthosts, with the texts for
// when there is no rcpthosts, if there is none. One that cannot be read is one.
func (v view) inLightOfRcpthosts(s control.Setting) control.Setting {
	if _, set, err := v.dir.List("rcpthosts"); !set && err == nil {
		s.Text = "No rcpthosts; doesn't matter that morercpthosts has %s."
		s.Absent = "No rcpthosts; morercpthosts is irrelevant."
	}
	return s
}

// describeCompiled compares a database with the file that it is made from, to the
// second. Either counts as absent if it cannot be looked at.
func (v view) describeCompiled(s control.Setting) string {
	source := strings.TrimSuffix(s.Name, ".cdb")
	db, dbErr := v.stat(s.Name)
	src, srcErr := v.stat(source)
	switch {
	case dbErr != nil && srcErr != nil:
		return isDefault + s.Absent + "\n"
	case srcErr != nil:
		return "Oops! " + s.Name + " exists but " + source + " doesn't.\n"
	case dbErr != nil:
		return "Oops! " + source + " exists but " + s.Name + " doesn't.\n"
	case src.ModTime().Unix() > db.ModTime().Unix():
		return "Oops! " + s.Name + " is older than " + source + ".\n"
	}
	return "Modified recently enough; hopefully up to date.\n"
}

func (v view) stat(name string) (fs.FileInfo, error) {
	return os.Stat(filepath.Join(string(v.dir), name))
}

// sentence is text about one value, ended by a newline.
func sentence(text, value string) string {
	return fmt.Sprintf(text, ascii.Printable(value, '?')) + "\n"
}
