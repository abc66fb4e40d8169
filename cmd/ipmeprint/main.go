// Command ipmeprint prints the addresses by which this host knows itself.
//
//	ipmeprint
//
// One a line: the two that stand for this host anywhere, then those of every network
// interface that is up. qmail-remote does not send mail to any of them, and
// qmail-smtpd knows them where they stand in brackets in place of a domain. config
// looks up their names.
//
// # Exit status
//
// 0, or 111 if the system does not tell.
//
// # Security
//
// Asks the system, and changes nothing.
package main

import (
	"fmt"

	"quail/internal/localaddr"
	"quail/internal/prog"
)

func main() { prog.Main("ipmeprint", run) }

func run(p *prog.Process) error {
	list, err := localaddr.List()
	if err != nil {
		return err
	}
	for _, addr := range list {
		if _, err := fmt.Fprintln(p.Stdout, addr); err != nil {
			return err
		}
	}
	return nil
}
