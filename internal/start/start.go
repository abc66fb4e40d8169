// Package start is qmail-start: it starts the programs of the queue's far side,
// each under its own user, and becomes qmail-send. See spec "qmail-start and
// qmail-send", section 1. Where PATH has qmail-queued, that is started as well; it ends
// when qmail-send does, whosever that is, and has no descriptor in common with it.
//
// It runs as root on the administrator's arguments and trusts its environment,
// which all of qmail-local's programs will see. It opens no file but the password
// and group files.
//
// Differs from qmail: descriptor 2 of qmail-lspawn, qmail-rspawn and qmail-clean is
// the log instead of being closed, so that a program that dies says why. Where a
// program or the logger cannot be run nothing is started, and descriptor 2 is told;
// qmail would go on without the logger, or until it missed the program.
package start

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/limits"
	"quail/internal/privs"
	"quail/internal/proc"
	"quail/internal/prog"
)

// defaultDelivery is what happens to a user's mail if nobody says otherwise.
const defaultDelivery = "./Mailbox"

// sendDescriptors is how many descriptors qmail-send is started with.
const sendDescriptors = 7

// accounts are the identities that the programs run under.
type accounts struct{ root, log, queue, remote, send privs.Identity }

func findAccounts() (a accounts, err error) {
	for _, want := range []struct {
		id          *privs.Identity
		user, group string
	}{
		{&a.log, conf.UserLog, conf.GroupNofiles},
		{&a.queue, conf.UserQueue, conf.GroupQmail},
		{&a.remote, conf.UserRemote, conf.GroupQmail},
		{&a.send, conf.UserSend, conf.GroupQmail},
	} {
		if *want.id, err = privs.Account(want.user, want.group); err != nil {
			return a, err
		}
	}
	// qmail-lspawn stays whoever we are, root in earnest.
	a.root = privs.Identity{UID: os.Geteuid(), GID: a.send.GID}
	// qmail-remote may need the groups that the administrator gave to its account.
	groups, err := privs.Groups(conf.UserRemote)
	a.remote.Groups = append(groups, a.remote.GID)
	return a, err
}

// Run is qmail-start. It does not return if it succeeds.
func Run(p *prog.Process) error {
	// 1. Nothing of ours may land on the descriptors that qmail-send will have: the
	//    runtime's poller, above all, must not be overwritten under its feet.
	if err := reserve(); err != nil {
		return err
	}
	// 2. Root's rights that no delivery needs are given up, for users' programs too.
	privs.Bound()
	// 3. All accounts: a missing one must not leave half a suite running.
	ids, err := findAccounts()
	if err != nil {
		return err
	}
	delivery := defaultDelivery
	if len(p.Args) > 0 {
		delivery = p.Args[0]
	}
	// 4. The log: to the logger if there is one, else where our output goes.
	log := p.Stdout
	if len(p.Args) > 1 {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		logger := proc.Command{Args: p.Args[1:], Env: p.Env, Dir: "/", Stdin: r, Stdout: p.Stdout, As: &ids.log}
		if _, err := logger.Start(); err != nil {
			return fmt.Errorf("run logger: %w", err)
		}
		r.Close()
		log = w
	}
	// 5. The programs, each with two pipes to and from what will be qmail-send. If
	//    one cannot be started we exit, and the others see the end of their input.
	fds := []*os.File{log}
	for _, c := range []struct {
		args []string
		as   *privs.Identity
	}{
		{[]string{"qmail-lspawn", delivery}, &ids.root},
		{[]string{"qmail-rspawn"}, &ids.remote},
		{[]string{"qmail-clean"}, &ids.queue},
	} {
		ends, err := startPiped(p, c.args, c.as, log)
		if err != nil {
			return fmt.Errorf("run %s: %w", c.args[0], err)
		}
		fds = append(fds, ends[:]...)
	}
	// 6. What takes messages at the queue's socket. It has no pipe: it looks at who its
	//    parent is.
	queued := proc.Command{Args: []string{"qmail-queued", strconv.Itoa(p.PID)}, Env: p.Env, Dir: "/", Stderr: log, As: &ids.queue}
	if _, err := queued.Start(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("run qmail-queued: %w", err)
	}
	// 7. No way back for this process: it becomes qmail-send, as qmails.
	return becomeSend(p, fds, ids.send)
}

// startPiped starts a program that reads commands on 0 and writes reports on 1. It
// returns our ends: to write commands, to read reports.
func startPiped(p *prog.Process, args []string, as *privs.Identity, log *os.File) (ours [2]*os.File, err error) {
	commands, toChild, err := os.Pipe()
	if err != nil {
		return ours, err
	}
	fromChild, reports, err := os.Pipe()
	if err != nil {
		return ours, err
	}
	defer commands.Close()
	defer reports.Close()
	_, err = proc.Command{Args: args, Env: p.Env, Dir: "/", Stdin: commands, Stdout: reports, Stderr: log, As: as}.Start()
	return [2]*os.File{toChild, fromChild}, err
}

// reserve fills the free numbers among 0 to 6 with copies of descriptor 0.
func reserve() error {
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("reserve descriptors: %w", err)
		}
		if fd >= sendDescriptors {
			return unix.Close(fd)
		}
	}
}

// becomeSend places the descriptors as 0 to 6 and executes qmail-send.
func becomeSend(p *prog.Process, fds []*os.File, id privs.Identity) error {
	// 1. Copies above: placing one must not overwrite another.
	var high [sendDescriptors]int
	for i, f := range fds {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, sendDescriptors)
		if err != nil {
			return fmt.Errorf("place descriptors: %w", err)
		}
		high[i] = fd
	}
	// 2. Identity while errors can still be reported on our own descriptor 2.
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := privs.DropTo(id); err != nil {
		return err
	}
	// 3. From here on nothing may open a descriptor. dup2 also makes each of 0 to 6
	//    survive exec.
	for i, fd := range high {
		if err := unix.Dup2(fd, i); err != nil {
			return prog.Exit(prog.StatusTemporary)
		}
	}
	for _, path := range prog.Candidates("qmail-send", p.Env, "/") {
		if err := limits.Exec("/", path, []string{"qmail-send"}, p.Env); !prog.KeepSearching(err) {
			break
		}
	}
	return prog.Exit(prog.StatusTemporary)
}
