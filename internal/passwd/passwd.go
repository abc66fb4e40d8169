// Package passwd is qmail-passwd, which edits users/mailauth: see package mailauth for
// what is in it.
//
// The administrator runs it, who may read and write that file in any case; it guards
// against mistakes. A password is never an argument or in the environment, where others
// on the host could see it.
package passwd

import (
	"crypto/rand"
	"fmt"

	"quail/internal/conf"
	"quail/internal/mailauth"
	"quail/internal/privs"
	"quail/internal/prog"
)

var errUsage = prog.Usage("qmail-passwd [ -s ] [ -u account ] login, or qmail-passwd -d login")

// request is what the command line asks for.
type request struct {
	login   string
	secret  bool   // to be kept
	account string // "": as it was
	remove  bool
}

// Run is qmail-passwd.
func Run(p *prog.Process) error {
	r, err := parse(p)
	if err != nil {
		return err
	}
	owner, err := privs.User(conf.UserPasswd)
	if err != nil {
		return err
	}
	group, err := privs.Group(conf.GroupQmail)
	if err != nil {
		return err
	}
	var decoy [32]byte
	rand.Read(decoy[:])
	edit := func(change func(old *mailauth.Entry) (*mailauth.Entry, error)) error {
		return mailauth.Edit(conf.Home+"/"+mailauth.Path, r.login, owner, group, decoy, change)
	}
	if r.remove {
		return edit(r.removed)
	}
	// Whatever has to be waited for comes before the file is locked.
	e, err := r.entry(p)
	if err != nil {
		return err
	}
	lost := false
	if err := edit(func(old *mailauth.Entry) (*mailauth.Entry, error) {
		lost = old != nil && old.Secret != "" && e.Secret == ""
		if old != nil && e.Account == "" {
			e.Account = old.Account
		}
		return &e, nil
	}); err != nil {
		return err
	}
	return r.tell(p, lost)
}

func parse(p *prog.Process) (r request, err error) {
	g := p.Getopt("su:d")
	for g.Next() {
		switch g.Opt {
		case 's':
			r.secret = true
		case 'u':
			r.account = g.Arg
		case 'd':
			r.remove = true
		default:
			return r, errUsage
		}
	}
	if len(g.Rest) != 1 || r.remove && (r.secret || r.account != "") {
		return r, errUsage
	}
	r.login = g.Rest[0]
	if r.account == "" {
		return r, nil
	}
	uid, err := privs.User(r.account)
	if err != nil {
		return r, err
	}
	if uid == 0 {
		return r, prog.Perm(fmt.Errorf("account %q has user id 0: nobody may log in to it", r.account))
	}
	return r, nil
}

// removed is the change that removes the login.
func (r request) removed(old *mailauth.Entry) (*mailauth.Entry, error) {
	if old == nil {
		return nil, prog.Perm(fmt.Errorf("there is no login %q", r.login))
	}
	return nil, nil
}

// entry asks for the password and returns the line that comes of it.
func (r request) entry(p *prog.Process) (e mailauth.Entry, err error) {
	password, err := ask(p, r.login)
	if err != nil {
		return e, err
	}
	var salts [2][16]byte
	for i := range salts {
		rand.Read(salts[i][:])
	}
	if e, err = mailauth.New(r.login, password, salts); err != nil {
		return e, prog.Perm(err)
	}
	e.Account = r.account
	if r.secret {
		e.Secret = password
	}
	return e, nil
}

// tell says what the secret is for, where there is one, and what goes without it, where
// it was dropped.
func (r request) tell(p *prog.Process, lost bool) (err error) {
	switch {
	case r.secret:
		_, err = fmt.Fprintf(p.Stdout, "%s: the password itself is kept for CRAM-MD5, DIGEST-MD5 and APOP: who reads users/mailauth or a copy of it has it\n", r.login)
	case lost:
		_, err = fmt.Fprintf(p.Stdout, "%s: the password itself is not kept any more: no CRAM-MD5, DIGEST-MD5 and APOP\n", r.login)
	}
	if err != nil {
		return prog.Unwritten(err)
	}
	return nil
}
