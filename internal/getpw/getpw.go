// Package getpw is qmail-getpw: it finds the account that controls a local
// address, for addresses that users/cdb does not have. See spec "Local delivery",
// section 4.
//
// qmail-lspawn runs it as a user without rights, because name services are big
// and the address comes from a stranger; what it prints is a record of package
// users. An account that may exist but cannot be asked for is a reason to try
// later: taking it for absent would bounce its mail or give it to alias.
package getpw

import (
	"errors"
	"io"
	"os"
	"syscall"

	"quail/internal/conf"
	"quail/internal/errno"
	"quail/internal/mailaddr"
	"quail/internal/prog"
	"quail/internal/users"
)

// Exit statuses that qmail-lspawn knows by number.
const (
	StatusHome    = 115 // the home directory cannot be looked at for now
	StatusNoAlias = 116 // nobody takes mail for unknown accounts
	StatusSystem  = 118 // the name service cannot be run for now
)

// longest is the longest account name that is looked for.
const longest = 31

// Run prints who controls the local part that is the program's argument.
func Run(p *prog.Process) error {
	if len(p.Args) == 0 {
		return prog.Exit(prog.StatusPermanent)
	}
	assignment, err := find(&accounts{p: p}, p.Args[0])
	if err != nil {
		if errors.Is(err, syscall.ETXTBSY) {
			return prog.Status(StatusSystem, err)
		}
		return err
	}
	record, err := assignment.Record()
	if err != nil {
		return err
	}
	_, err = io.WriteString(p.Stdout, record)
	return err
}

// find looks for the longest beginning of local that is the name of a user and is
// all of local or ends before a separator. Failing that, mail goes to alias.
func find(known *accounts, local string) (users.Assignment, error) {
	for cut := min(len(local), longest); cut >= 0; cut-- {
		if cut < len(local) && local[cut] != conf.Break {
			continue
		}
		account, ok, err := known.find(mailaddr.Lower(local[:cut]))
		if err != nil {
			return users.Assignment{}, err
		}
		if !ok {
			continue
		}
		if ok, err := isUser(known.p, account); err != nil {
			return users.Assignment{}, err
		} else if !ok {
			continue
		}
		if cut < len(local) {
			// A hyphen whatever the separator is: it is for names of .qmail files.
			account.Dash, account.Ext = "-", local[cut+1:]
		}
		return account, nil
	}
	alias, ok, err := known.find(conf.UserAlias)
	if err != nil {
		return users.Assignment{}, err
	}
	if !ok {
		return users.Assignment{}, prog.Exit(StatusNoAlias)
	}
	alias.Dash, alias.Ext = "-", local
	return alias, nil
}

// isUser reports whether an account gets mail of its own: it is not root, and it
// owns its home directory. That leaves out bin, daemon and their like.
func isUser(p *prog.Process, account users.Assignment) (bool, error) {
	if account.UID == 0 || account.Home == "" {
		return false, nil
	}
	fi, err := os.Stat(p.Path(account.Home))
	if errno.Temporary(err) {
		return false, prog.Status(StatusHome, err) // NFS, mostly
	}
	if err != nil {
		return false, nil
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == account.UID, nil
}
