// Package accounts finds the account that controls a local address, for addresses
// that users/cdb does not have. See spec "Local delivery", section 4.
//
// qmail-getpw answers by it, qmail-explain tells of it. The address comes from a
// stranger. An account that may exist but cannot be asked for is an error and a
// reason to try later: taking it for absent would bounce its mail or give it to
// alias.
package accounts

import (
	"errors"
	"os"
	"syscall"

	"quail/internal/conf"
	"quail/internal/errno"
	"quail/internal/mailaddr"
	"quail/internal/users"
)

// longest is the longest account name that is looked for.
const longest = 31

// ErrNoAlias says that nobody takes mail for unknown accounts.
var ErrNoAlias = errors.New("there is no account " + conf.UserAlias)

// HomeError says that a home directory cannot be looked at for now.
type HomeError struct{ Err error }

func (e *HomeError) Error() string { return e.Err.Error() }
func (e *HomeError) Unwrap() error { return e.Err }

// Found is who controls an address.
type Found struct {
	users.Assignment
	Passed []Passed // accounts that would have, were they users
}

// Passed is an account that gets no mail of its own, and why.
type Passed struct{ Name, Reason string }

// Find looks for the longest beginning of local that is the name of a user and is
// all of local or ends before a separator. Failing that, mail goes to alias.
func (k *Known) Find(local string) (f Found, err error) {
	for cut := min(len(local), longest); cut >= 0; cut-- {
		if cut < len(local) && local[cut] != conf.Break {
			continue
		}
		account, ok, err := k.account(mailaddr.Lower(local[:cut]))
		if err != nil {
			return f, err
		}
		if !ok {
			continue
		}
		reason, err := k.notUser(account)
		if err != nil {
			return f, err
		}
		if reason != "" {
			f.Passed = append(f.Passed, Passed{account.User, reason})
			continue
		}
		if cut < len(local) {
			// A hyphen whatever the separator is: it is for names of .qmail files.
			account.Dash, account.Ext = "-", local[cut+1:]
		}
		f.Assignment = account
		return f, nil
	}
	alias, ok, err := k.account(conf.UserAlias)
	if err != nil {
		return f, err
	}
	if !ok {
		return f, ErrNoAlias
	}
	alias.Dash, alias.Ext = "-", local
	f.Assignment = alias
	return f, nil
}

// notUser returns why an account gets no mail of its own, "" if it does: it is not
// root, and it owns its home directory. That leaves out bin, daemon and their like.
func (k *Known) notUser(account users.Assignment) (reason string, err error) {
	if account.UID == 0 {
		return "its user id is 0", nil
	}
	if account.Home == "" {
		return "it has no home directory", nil
	}
	fi, err := os.Stat(k.P.Path(account.Home))
	if errno.Temporary(err) {
		return "", &HomeError{err} // NFS, mostly
	}
	if err != nil {
		return "its home directory cannot be reached: " + errno.Text(err), nil
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != account.UID {
		return "it does not own its home directory", nil
	}
	return "", nil
}
