// Package auth is qmail-auth, the half that may be root: it makes the socket at which
// qmail-smtpd asks who a client is, has qmail-authd answer there as qmailp, and runs the
// checkpassword program that its own command line names, if it names one.
//
// Nothing of what a client sends is understood here. The half that understands it, and
// that a stranger may take over, can have the one program run with a record of at most
// 512 bytes, and learns how that ended: package checkpw has the bytes. That is why there
// are two programs: what is linked into this one runs as root.
//
// Where no program is to be run this half is gone at once: it becomes the other.
package auth

import (
	"os"

	"quail/internal/conf"
	"quail/internal/localsocket"
	"quail/internal/privs"
	"quail/internal/proc"
	"quail/internal/prog"
)

var errUsage = prog.Usage("qmail-auth [ -d socket | [ -0 ] program [ arg ... ] ]")

// Run is qmail-auth.
func Run(p *prog.Process) error {
	own, dovecot := false, ""
	g := p.Getopt("0d:")
	for g.Next() {
		switch g.Opt {
		case '0':
			own = true
		case 'd':
			dovecot = g.Arg
		default:
			return errUsage
		}
	}
	if own && len(g.Rest) == 0 || dovecot != "" && (own || len(g.Rest) > 0) {
		return errUsage
	}
	if err := privs.Undumpable(); err != nil {
		return err
	}
	if own {
		return supervise(p, p.Stdin, nil, []string{"-0", "-r"}, g.Rest)
	}
	id, err := privs.Account(conf.UserPasswd, conf.GroupQmail)
	if err != nil {
		return err
	}
	socket, err := listen(conf.Home + "/" + conf.LoginSocket)
	if err != nil {
		return err
	}
	if len(g.Rest) > 0 {
		return supervise(p, socket, &id, []string{"-r"}, g.Rest)
	}
	var args []string
	if dovecot != "" {
		args = []string{"-d", p.Path(dovecot)}
	}
	return become(p, socket, id, args)
}

// program is the half that answers.
func program() string { return conf.Home + "/bin/qmail-authd" }

// listen makes the socket. Only root, and the group that network servers are in, may call.
func listen(path string) (*os.File, error) {
	gid, err := privs.Group(conf.GroupNofiles)
	if err != nil {
		return nil, err
	}
	socket, err := localsocket.Listen(path, 0o660)
	if err != nil {
		return nil, prog.Fail("unable to listen at "+path, err)
	}
	if err := os.Lchown(path, -1, gid); err != nil {
		socket.Close()
		return nil, prog.Fail("unable to change group of "+path, err)
	}
	return socket, nil
}

// become drops all rights and turns this process into the half that answers.
func become(p *prog.Process, socket *os.File, id privs.Identity, args []string) error {
	if err := privs.DropTo(id); err != nil {
		return err
	}
	return &prog.Become{Args: append([]string{program()}, args...), Env: p.Env, Dir: "/", Files: map[int]*os.File{0: socket}}
}

// supervise has the other half serve the socket and runs the program for it, until either
// ends. Then the other does, too: each notices that the pair is closed.
func supervise(p *prog.Process, socket *os.File, as *privs.Identity, options, args []string) error {
	ours, theirs, err := localsocket.Pair()
	if err != nil {
		return prog.Fail("unable to make sockets", err)
	}
	child, err := proc.Command{
		Args: append([]string{program()}, options...), Env: p.Env, Dir: "/",
		Stdin: socket, Stdout: p.Stderr, Stderr: p.Stderr, Extra: []*os.File{theirs}, As: as,
	}.Start()
	theirs.Close()
	if err != nil {
		return prog.Fail("unable to run "+program(), err)
	}
	socket.Close()
	failed := newRunner(p, args).serve(ours)
	ours.Close()
	status, err := child.Wait()
	switch {
	case err != nil:
		return err
	case failed != nil:
		return failed
	case status.Crashed():
		return prog.Exit(prog.StatusTemporary)
	}
	return prog.Exit(status.Code())
}
