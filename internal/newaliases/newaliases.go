// Package newaliases compiles Sendmail's files for fastforward: it is the programs
// newaliases and newinclude. See their manual pages of fastforward 0.51.
//
// The files are the administrator's or the caller's own, and so is the directory that
// the result goes to.
package newaliases

import (
	"bufio"
	"errors"
	"os"

	"quail/internal/aliases"
	"quail/internal/cdbfile"
	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/durable"
	"quail/internal/maillist"
	"quail/internal/prog"
)

// Program is newaliases for the file of that name; the database has .cdb after it.
type Program string

// Run is newaliases.
func (name Program) Run(p *prog.Process) error {
	names, err := readNames()
	if err != nil {
		return err
	}
	file, tmp := string(name), string(name)+".tmp"
	in, err := os.Open(file)
	if err != nil {
		return prog.Fail("unable to read "+file, err)
	}
	defer in.Close()
	draft, err := cdbfile.Create(tmp)
	if err != nil {
		return prog.Fail("unable to create "+tmp, err)
	}
	defer draft.Discard()
	for line, err := range aliases.Continued(in) {
		if err != nil {
			return prog.Fail("unable to read "+file, err)
		}
		records, err := names.Records(line)
		if errors.Is(err, maillist.ErrTooLong) {
			return prog.Perm(err)
		}
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := draft.Add(r); err != nil {
				return prog.Fail("unable to write to "+tmp, err)
			}
		}
	}
	if err := draft.Finish(); err != nil {
		return prog.Fail("unable to write to "+tmp, err)
	}
	if err := draft.Publish(file + ".cdb"); err != nil {
		return prog.Fail("unable to move "+tmp+" to "+file+".cdb", err)
	}
	return nil
}

func readNames() (aliases.Names, error) {
	names, err := control.In(conf.Home).Names()
	if err != nil {
		return aliases.Names{}, prog.Fail("unable to read controls", err)
	}
	return aliases.Names(names), nil
}

// Include is newinclude.
func Include(p *prog.Process) error {
	names, err := readNames()
	if err != nil {
		return err
	}
	for variable, name := range map[string]*string{
		"QMAILDEFAULTHOST": &names.Host, "QMAILDEFAULTDOMAIN": &names.Domain, "QMAILPLUSDOMAIN": &names.Plus,
	} {
		if value, set := p.Env.Lookup(variable); set {
			*name = value
		}
	}
	if len(p.Args) == 0 {
		return prog.Usage("newinclude list")
	}
	file := p.Args[0]
	tmp := file + ".tmp"
	in, err := os.Open(p.Path(file))
	if err != nil {
		return prog.Fail("unable to read "+file, err)
	}
	defer in.Close()
	draft, err := durable.Create(p.Path(tmp))
	if err != nil {
		return prog.Fail("unable to write to "+tmp, err)
	}
	defer draft.Close()
	out := bufio.NewWriter(draft)
	for line, err := range aliases.Lines(in) {
		if err != nil {
			return prog.Fail("unable to read "+file, err)
		}
		entries, err := names.Included(line)
		if err != nil {
			return err
		}
		out.Write(maillist.Append(nil, entries...))
	}
	if err := errors.Join(out.Flush(), draft.Finish()); err != nil {
		return prog.Fail("unable to write to "+tmp, err)
	}
	if err := draft.Publish(p.Path(file + ".bin")); err != nil {
		return prog.Fail("unable to move "+tmp+" to "+file+".bin", err)
	}
	return nil
}
