// Command qmail-rspawn runs remote deliveries for qmail-send.
//
//	qmail-rspawn
//
// It takes requests from descriptor 0, runs qmail-remote, or the program that
// $QMAILREMOTE names, for each, and reports on descriptor 1.
//
// # Exit status
//
// 0 when its input has ended and all deliveries are done; 111 if it cannot begin.
//
// # Security
//
// Runs as qmailr. Its requests come from qmail-send and hold addresses that
// strangers chose; what it reports is mostly what a remote host has said.
package main

import (
	"quail/internal/conf"
	"quail/internal/delivery"
	"quail/internal/errno"
	"quail/internal/mailaddr"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/queue"
	"quail/internal/sandbox"
	"quail/internal/spawn"
	"quail/internal/tcpto"
)

func main() { prog.Main("qmail-rspawn", run, sandbox.NoNewPrivileges()) }

func run(p *prog.Process) error {
	tcpto.In(conf.Home).Reset()
	program, ok := p.Env.Lookup("QMAILREMOTE")
	if !ok {
		program = "qmail-remote"
	}
	start := func(a spawn.Attempt) (*proc.Child, int) {
		_, host, _ := mailaddr.Split(a.Recipient)
		child, err := proc.Command{
			Args:   []string{program, host, a.Sender, a.Recipient},
			Env:    p.Env,
			Dir:    queue.In(conf.Home).Path("mess"),
			Stdin:  a.Message,
			Stdout: a.Output,
			Stderr: a.Output,
		}.Start()
		switch {
		case err == nil:
			return child, 0
		case errno.Temporary(err):
			return nil, prog.StatusTemporary
		}
		return nil, prog.StatusPermanent
	}
	return spawn.Run(p, spawn.Spawner{Start: start, Report: delivery.RemoteReport, Keep: delivery.ReadRemote})
}
