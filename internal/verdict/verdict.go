// Package verdict asks a program about a message: the programs except,
// bouncesaying and condredirect act on its exit status. See spec "Injection",
// section 9.
//
// The program is the recipient's and reads a stranger's message. Only its exit
// status is believed.
package verdict

import (
	"errors"

	"quail/internal/errno"
	"quail/internal/proc"
	"quail/internal/prog"
)

// Ask runs a program with everything that p was given and reports whether it says
// yes, by exit status 0. Status 111 and a crash are temporary errors, every other
// status is a no, and so is a program that does not exist: what cannot get better
// by trying again must not hold the message up.
func Ask(p *prog.Process, args []string) (yes bool, err error) {
	status, err := proc.Command{
		Args:   args,
		Env:    p.Env.ForUsers(),
		Dir:    p.Dir,
		Stdin:  p.Stdin,
		Stdout: p.Stdout,
		Stderr: p.Stderr,
	}.Run()
	switch {
	case err != nil && !errno.Temporary(err):
		return false, nil
	case err != nil, !status.Crashed() && status.Code() == prog.StatusTemporary:
		return false, errors.New("temporary child error")
	case status.Crashed():
		return false, errors.New("child crashed")
	}
	return status.OK(), nil
}
