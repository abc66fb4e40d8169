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
	"time"

	"quail/internal/conf"
	"quail/internal/delivery"
	"quail/internal/errno"
	"quail/internal/mailaddr"
	"quail/internal/prog"
	"quail/internal/queue"
	"quail/internal/sandbox"
	"quail/internal/spawn"
	"quail/internal/tcpto"
	"quail/internal/warm"
)

func main() { prog.Main("qmail-rspawn", run, prog.Frugal, sandbox.NoNewPrivileges()) }

func run(p *prog.Process) error {
	tcpto.In(conf.Home).Reset()
	program, ok := p.Env.Lookup("QMAILREMOTE")
	if !ok {
		program = "qmail-remote"
	}
	keeper := warm.NewKeeper(warm.Settings{Idle: time.Minute, Spare: 1, Name: p.Name, Log: p.Stderr, Now: p.Now})
	command := func(r delivery.Request) (c warm.Command, status int) {
		_, host, _ := mailaddr.Split(r.Recipient)
		return warm.Command{
			Args: []string{program, host, r.Sender, r.Recipient},
			Env:  p.Env,
			Dir:  queue.In(conf.Home).Path("mess"),
		}, 0
	}
	unable := func(err error) int {
		if errno.Temporary(err) {
			return prog.StatusTemporary
		}
		return prog.StatusPermanent
	}
	return spawn.Run(p, spawn.Spawner{
		Keeper: keeper, Command: command, Unable: unable, Report: delivery.RemoteReport, Keep: delivery.ReadRemote,
	})
}
