// Package assigned finds the user to whom the administrator has assigned a local
// address: in users/cdb, through package users, and with the status that
// qmail-lspawn gives to what goes wrong. See spec "Local delivery", sections 2 and 3.
//
// qmail-lspawn reads the database as root, qmail-explain as anybody. It is the
// administrator's, and the address a stranger's: what cannot be read delays mail.
package assigned

import (
	"errors"
	"fmt"
	"io/fs"

	"quail/internal/cdb"
	"quail/internal/cdbfile"
	"quail/internal/delivery"
	"quail/internal/users"
)

// Failure is why it is not known to whom an address is assigned.
type Failure struct {
	Status int // of delivery, for the report
	Err    error
}

func (f *Failure) Error() string { return fmt.Sprintf("read users/cdb: %v", f.Err) }
func (f *Failure) Unwrap() error { return f.Err }

// Find returns what db says about a local part. Without the file nobody is
// assigned anything, and qmail-getpw is to be asked. An error is a *Failure.
func Find(db *cdbfile.Kept, local string) (e users.Entry, ok bool, err error) {
	err = db.View(func(r *cdb.Reader) (err error) {
		e, ok, err = users.Lookup(r, local)
		return err
	})
	switch {
	case errors.Is(err, users.ErrRecord):
		return e, false, &Failure{delivery.StatusBug, err}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return e, false, &Failure{delivery.StatusCdb, err}
	}
	return e, ok, nil
}
