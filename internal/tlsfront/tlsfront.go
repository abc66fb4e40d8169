// Package tlsfront is qmail-tls, which puts TLS before a program that knows nothing of
// it: what the client says reaches the program in plain, and what the program says
// reaches the client by TLS.
//
// It may run as root, and never reads what the client sends. Before anything else it
// starts qmail-tlsnet, as a user without rights if it is root, which has the client from
// there on, and the program's connection; what the program is to know of the session it
// tells through a pipe (package tlsfacts).
//
// The caller's process becomes the program, so that whoever started it sees the
// program's process id and status. The program begins when the handshake has been done,
// and not at all if that fails.
package tlsfront

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"quail/internal/conf"
	"quail/internal/privs"
	"quail/internal/proc"
	"quail/internal/prog"
	"quail/internal/tlsfacts"
)

// Run is the program qmail-tls.
func Run(p *prog.Process) error {
	if len(p.Args) == 0 {
		return prog.Usage("qmail-tls program [ arg ... ]")
	}
	ours, theirs, err := pair()
	if err != nil {
		return prog.Fail("unable to create a pair of sockets", err)
	}
	facts, tell, err := os.Pipe()
	if err != nil {
		return prog.Fail("unable to create pipe", err)
	}
	if err := start(p, theirs, tell); err != nil {
		return prog.Fail("unable to run qmail-tlsnet", err)
	}
	theirs.Close()
	tell.Close()
	record, err := io.ReadAll(io.LimitReader(facts, tlsfacts.Max+1))
	facts.Close()
	if err != nil {
		return prog.Fail("unable to read from qmail-tlsnet", err)
	}
	if len(record) == 0 {
		return prog.Exit(prog.StatusTemporary) // it has said why
	}
	told, err := tlsfacts.Parse(record)
	if err != nil {
		return prog.Fail("unable to believe qmail-tlsnet", err)
	}
	return &prog.Become{Args: p.Args, Env: environment(p.Env, told), Files: map[int]*os.File{0: ours, 1: ours}}
}

// start starts qmail-tlsnet with the client, the program's connection and the pipe.
func start(p *prog.Process, theirs, tell *os.File) error {
	child := proc.Command{Args: []string{conf.Home + "/bin/qmail-tlsnet"}, Dir: "/",
		Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr, Extra: []*os.File{theirs, tell}}
	for _, name := range []string{"TCPREMOTEIP", "TCPLOCALHOST"} {
		if value, set := p.Env.Lookup(name); set {
			child.Env = child.Env.With(name, value)
		}
	}
	if p.UID == 0 {
		id, err := privs.Account(conf.UserDaemon, conf.GroupNofiles)
		if err != nil {
			return err
		}
		child.As = &id
	}
	_, err := child.Start()
	return err
}

// environment returns what the program learns of the session, by the names that ucspi-ssl
// gives it, and nothing of another one.
func environment(env prog.Env, told tlsfacts.Facts) prog.Env {
	for _, v := range [][2]string{{"SSL_PROTOCOL", told.Version}, {"SSL_CIPHER", told.Cipher}, {"SSL_TLS_SNI_SERVERNAME", told.Server}} {
		env = env.Without(v[0])
		if v[1] != "" {
			env = env.With(v[0], v[1])
		}
	}
	return env
}

// pair returns the ends of a connection.
func pair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	return os.NewFile(uintptr(fds[0]), "program"), os.NewFile(uintptr(fds[1]), "program"), nil
}
