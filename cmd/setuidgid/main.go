// Command setuidgid runs a program as another account.
//
//	setuidgid ACCOUNT PROGRAM [ ARG ... ]
//
// It takes the user and the group that /etc/passwd has for ACCOUNT, has no group
// besides, and becomes PROGRAM. The environment is left as it is.
//
// # Exit status
//
// That of PROGRAM; 100 for wrong usage; 111 if there is no such account, if this is not
// root, or if PROGRAM cannot be run.
//
// # Security
//
// Runs as root, on the administrator's arguments. It reads /etc/passwd and asks no name
// service. PROGRAM is looked for and run when root has been given up, which is tried.
package main

import (
	"errors"
	"os"
	"syscall"

	"quail/internal/privs"
	"quail/internal/prog"
)

func main() { prog.Main("setuidgid", run) }

func run(p *prog.Process) error {
	if len(p.Args) < 2 {
		return prog.Usage("setuidgid account program [ arg ... ]")
	}
	// 1. Who to be.
	id, err := privs.Login(p.Args[0])
	if unknown := new(privs.UnknownError); errors.As(err, &unknown) {
		return errors.New("unknown account " + unknown.Name)
	}
	if err != nil {
		return err
	}
	// 2. Groups exactly {gid}, group, user, and a proof that there is no way back. Without
	//    root there would be no telling which groups PROGRAM has: not even for an account
	//    that this is already.
	if os.Geteuid() != 0 {
		return prog.Fail("unable to set groups", syscall.EPERM)
	}
	if err := privs.DropTo(id); err != nil {
		return err
	}
	// 3. The program.
	return &prog.Become{Args: p.Args[1:], Env: p.Env}
}
