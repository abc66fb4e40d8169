// Package lspawn is qmail-lspawn: it finds out which user a local address belongs
// to and runs qmail-local as that user. See spec "Local delivery", sections 1 to 4.
//
// It runs as root for life, which qmail's child did only for a moment: Go cannot
// fork, so users/cdb is read and qmail-getpw's answer parsed here. Both are bytes
// of lower rank (the administrator's, qmailp's); package users reads them without
// trusting an offset or a length. Nothing else here looks into anything: address,
// sender and message go on as they came.
//
// Both programs are kept between deliveries, each user's qmail-local for that user
// alone. The enemy is a user who has the own one in hand.
package lspawn

import (
	"errors"
	"io"
	"path/filepath"
	"syscall"
	"time"

	"quail/internal/assigned"
	"quail/internal/cdbfile"
	"quail/internal/conf"
	"quail/internal/delivery"
	"quail/internal/mailaddr"
	"quail/internal/privs"
	"quail/internal/prog"
	"quail/internal/spawn"
	"quail/internal/users"
	"quail/internal/warm"
)

// maxRecord bounds what qmail-getpw may answer, in bytes.
const maxRecord = 65536

// A user's qmail-local is kept so long after its last delivery, and so many of them
// at most.
const (
	idle  = 10 * time.Second
	spare = 50
)

// maxOutput is one byte more than a report keeps, so that it can tell.
const maxOutput = 3001

func keep(output io.Reader) []byte {
	kept, _ := io.ReadAll(io.LimitReader(output, maxOutput)) // reading a pipe does not fail
	return kept
}

// Run is qmail-lspawn; its argument is the default delivery.
func Run(p *prog.Process) error {
	if len(p.Args) < 1 {
		return prog.Exit(prog.StatusPermanent)
	}
	getpw, err := privs.Account(conf.UserPasswd, conf.GroupNofiles)
	if err != nil {
		return err
	}
	keeper := warm.NewKeeper(warm.Settings{Idle: idle, Spare: spare, Name: "qmail-lspawn", Log: p.Stderr, Now: p.Now})
	l := &lspawn{p: p, keeper: keeper, getpw: getpw, assigned: cdbfile.Keep(filepath.Join(conf.Home, "users/cdb"))}
	return spawn.Run(p, spawn.Spawner{
		Keeper: keeper, Command: l.command, Unable: unable, Report: delivery.LocalReport, Keep: keep,
	})
}

type lspawn struct {
	p      *prog.Process
	keeper *warm.Keeper
	getpw  privs.Identity // who looks up accounts
	// assigned is users/cdb, which the administrator may replace at any time.
	assigned *cdbfile.Kept
}

// command returns qmail-local for one delivery. Its steps are what stands between a
// stranger's address and a process with a user's rights:
func (l *lspawn) command(r delivery.Request) (c warm.Command, status int) {
	// 1. An address without a local part belongs to nobody; qmail throws it away.
	local, domain, _ := mailaddr.Split(r.Recipient)
	if local == "" {
		return c, 0
	}
	// 2. Whose is it? The administrator's assignments first, else an account's.
	user, status := l.find(local)
	if status != 0 {
		return c, status
	}
	// 3. Never root, whoever says so.
	if user.UID == 0 {
		return c, delivery.StatusRoot
	}
	// 4. The user's uid and the one group, no other; and only if we can.
	id := privs.Identity{UID: user.UID, GID: user.GID}
	if _, err := id.Credential(); err != nil {
		return c, delivery.StatusSoft
	}
	// 5. By a process that serves this uid and gid and nobody else, which the Keeper
	//    sees to; reached from our own directory, since the home may lie where the user
	//    may not go.
	return warm.Command{
		Args: []string{"bin/qmail-local", "--", user.User, user.Home, local, user.Dash, user.Ext,
			domain, r.Sender, l.p.Args[0]},
		Env:  l.p.Env,
		Dir:  conf.Home,
		Here: l.p.Dir == conf.Home,
		As:   &id,
	}, 0
}

// unable says what it means that qmail-local cannot be run.
//
// Differs from qmail, which returns mail to its senders as long as qmail-local is
// missing or not to be executed: that is trouble with the installation, never with the
// message, unless its addresses are too long for any program.
func unable(err error) int {
	if errors.Is(err, syscall.E2BIG) {
		return delivery.StatusExecHard
	}
	return delivery.StatusExecSoft
}

// find returns the assignment of a local part, or the status that says why there
// is none.
func (l *lspawn) find(local string) (users.Assignment, int) {
	entry, found, err := assigned.Find(l.assigned, local)
	var failure *assigned.Failure
	if errors.As(err, &failure) {
		return entry.Assignment, failure.Status
	}
	if found {
		return entry.Assignment, 0
	}
	return l.ask(local)
}

// ask has qmail-getpw look for an account, under a user of its own.
func (l *lspawn) ask(local string) (a users.Assignment, status int) {
	answer, w, err := spawn.NewOutput()
	if err != nil {
		return a, delivery.StatusSoft
	}
	_, err = l.keeper.Start(warm.Command{
		Args:   []string{"bin/qmail-getpw", local},
		Env:    l.p.Env,
		Dir:    conf.Home,
		Here:   l.p.Dir == conf.Home,
		Stdout: w,
		As:     &l.getpw,
	}, answer.Done)
	if err != nil {
		answer.Release()
		answer.Close()
		return a, delivery.StatusGetpwSoft
	}
	record, end := answer.Collect(func(r io.Reader) []byte {
		record, _ := io.ReadAll(io.LimitReader(r, maxRecord))
		answer.Close() // an endless answer ends here
		return record
	})
	switch {
	case end.Err != nil || end.Crashed():
		return a, delivery.StatusSoft
	case !end.OK():
		return a, getpwStatus(end.Code())
	}
	if a, err = users.ParseRecord(string(record)); err != nil {
		return a, delivery.StatusBug
	}
	return a, 0
}

// getpwStatus passes qmail-getpw's own status on, unless that is a Go program's
// crash.
func getpwStatus(code int) int {
	if code == 2 {
		return delivery.StatusSoft
	}
	return code
}
