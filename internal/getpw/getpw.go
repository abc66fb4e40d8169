// Package getpw is qmail-getpw: it prints who controls a local address that
// users/cdb does not have. See spec "Local delivery", section 4.
//
// qmail-lspawn runs it as a user without rights, because name services are big
// and the address comes from a stranger. What it finds is package accounts', what it
// prints a record of package users.
package getpw

import (
	"errors"
	"io"
	"syscall"

	"quail/internal/accounts"
	"quail/internal/prog"
)

// Exit statuses that qmail-lspawn knows by number.
const (
	StatusHome    = 115 // the home directory cannot be looked at for now
	StatusNoAlias = 116 // nobody takes mail for unknown accounts
	StatusSystem  = 118 // the name service cannot be run for now
)

// Run prints who controls the local part that is the program's argument.
func Run(p *prog.Process) error {
	if len(p.Args) == 0 {
		return prog.Exit(prog.StatusPermanent)
	}
	known := accounts.Known{P: p}
	found, err := known.Find(p.Args[0])
	var home *accounts.HomeError
	switch {
	case errors.Is(err, accounts.ErrNoAlias):
		return prog.Exit(StatusNoAlias)
	case errors.As(err, &home):
		return prog.Status(StatusHome, err)
	case errors.Is(err, syscall.ETXTBSY):
		return prog.Status(StatusSystem, err)
	case err != nil:
		return err
	}
	record, err := found.Record()
	if err != nil {
		return err
	}
	_, err = io.WriteString(p.Stdout, record)
	return err
}
