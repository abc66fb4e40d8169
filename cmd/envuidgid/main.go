// Command envuidgid runs a program with the ids of an account in its environment.
//
//	envuidgid ACCOUNT PROGRAM [ ARG ... ]
//
// $UID and $GID are set to the numbers that /etc/passwd has for ACCOUNT. It becomes
// PROGRAM and stays who it is: "envuidgid qmaild tcpserver -U 0 smtp qmail-smtpd" lets
// tcpserver bind its port as root.
//
// # Exit status
//
// That of PROGRAM; 100 for wrong usage; 111 if there is no such account or PROGRAM cannot
// be run.
//
// # Security
//
// Runs as root in most run scripts, on the administrator's arguments. It reads
// /etc/passwd and asks no name service.
package main

import (
	"errors"
	"strconv"

	"quail/internal/privs"
	"quail/internal/prog"
)

func main() { prog.Main("envuidgid", run) }

func run(p *prog.Process) error {
	if len(p.Args) < 2 {
		return prog.Usage("envuidgid account program [ arg ... ]")
	}
	id, err := privs.Login(p.Args[0])
	if unknown := new(privs.UnknownError); errors.As(err, &unknown) {
		return errors.New("unknown account " + unknown.Name)
	}
	if err != nil {
		return err
	}
	env := p.Env.With("GID", strconv.Itoa(id.GID)).With("UID", strconv.Itoa(id.UID))
	return &prog.Become{Args: p.Args[1:], Env: env}
}
