// Package sendmail is the command that other software calls to send mail. It
// understands as much of the options of Sendmail as qmail's wrapper does, and
// becomes qmail-inject, qmail-smtpd, qmail-qread or newaliases. See spec "Local injection",
// section 8.
//
// Where bin/qmail-inject was built together with this program, it does itself what
// qmail-inject would do, which saves starting it. Any other file there is executed.
//
// Its caller is often a web application, and option values are then a stranger's.
// They are passed on as single arguments and variables, never read as anything
// else; a program that wants them safe from options writes "--" before addresses.
package sendmail

import (
	"errors"
	"io"
	"os"

	"quail/internal/conf"
	"quail/internal/durable"
	"quail/internal/mailaddr"
	"quail/internal/prog"
)

const usage = "sendmail [ -t ] [ -fsender ] [ -Fname ] [ -bp ] [ -bs ] [ arg ... ]"

// Program is the program sendmail.
type Program struct {
	// Inject is what qmail-inject does, and Mark what its file ends with if it does
	// that; "" where nothing is marked.
	Inject func(*prog.Process) error
	Mark   string
}

// Run is the program sendmail, also when it is called mailq or newaliases.
func (s Program) Run(p *prog.Process) error {
	calledAs := p.Name
	if home, err := os.Stat(conf.Home); err != nil || !home.IsDir() {
		p.Name = "sendmail"
		return errors.New("unable to switch to qmail home directory")
	}
	c := command{env: p.Env, recipients: "-a"}
	g := p.Getopt("vimte:f:p:o:B:F:EJxb:")
	for g.Next() {
		if done := c.option(g); done != nil {
			p.Name = "sendmail"
			return done
		}
	}
	p.Name = "sendmail"
	switch calledAs {
	case "mailq":
		return become("qmail-qread", c.env)
	case "newaliases":
		// Differs from qmail: the program is there, so nobody has to be told to call it.
		return become("newaliases", c.env)
	}
	become := c.inject(g.Rest)
	if !s.is(become) {
		return become
	}
	p.Name, p.Args, p.Env, p.Dir = "qmail-inject", become.Args[1:], become.Env, become.Dir
	return s.Inject(p)
}

// is reports whether a program that this one is to become is its own Inject.
func (s Program) is(b *prog.Become) bool {
	if s.Mark == "" {
		return false
	}
	f, err := durable.OpenFile(b.Dir+"/"+b.Args[0], os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
		return false // whatever is wrong, exec says it
	}
	end := make([]byte, len(s.Mark))
	n, err := f.ReadAt(end, st.Size()-int64(len(end)))
	return (err == nil || err == io.EOF) && string(end[:n]) == s.Mark
}

// command is what the options have said so far.
type command struct {
	env        prog.Env
	recipients string // qmail-inject's option
	sender     string
	hasSender  bool
}

// option takes one option in. What it returns, if anything, ends the program.
func (c *command) option(g *prog.Getopt) error {
	switch g.Opt {
	case 't':
		c.recipients = "-H"
	case 'f':
		c.sender, c.hasSender = g.Arg, true
	case 'F':
		c.env = c.env.With("MAILNAME", g.Arg)
	case 'b':
		return c.mode(g.Arg[:min(1, len(g.Arg))])
	case 'E', 'J':
		g.Skip()
	case 'v', 'i', 'm', 'x', 'e', 'p', 'o', 'B': // of no meaning here
	default:
		return prog.Usage(usage)
	}
	return nil
}

// mode acts on the first letter of option -b.
func (c *command) mode(letter string) error {
	switch letter {
	case "m":
		return nil
	case "p":
		return become("qmail-qread", c.env)
	case "s":
		return become("qmail-smtpd", c.session())
	}
	return prog.Usage(usage)
}

// session returns the environment of an SMTP session with the caller. Who runs
// under a server already has one that says more.
func (c *command) session() prog.Env {
	env := c.env
	if _, served := env.Lookup("PROTO"); served {
		return env
	}
	for _, v := range [][2]string{
		{"RELAYCLIENT", ""},
		{"DATABYTES", "0"},
		{"PROTO", "TCP"},
		{"TCPLOCALIP", "127.0.0.1"},
		{"TCPLOCALHOST", "localhost"},
		{"TCPREMOTEIP", "127.0.0.1"},
		{"TCPREMOTEHOST", "localhost"},
		{"TCPREMOTEINFO", "sendmail-bs"},
	} {
		env = env.With(v[0], v[1])
	}
	return env
}

// inject hands the message on to qmail-inject. A sender that was named is also
// the author, and the caller's own name has no business beside it.
func (c *command) inject(recipients []string) *prog.Become {
	env := c.env
	args := []string{"bin/qmail-inject", c.recipients}
	if c.hasSender {
		args = append(args, "-f", c.sender)
		env = env.Without("QMAILNAME", "MAILNAME", "NAME", "QMAILHOST", "MAILHOST")
		user, host, ok := mailaddr.Split(c.sender)
		env = env.With("QMAILUSER", user)
		if ok {
			env = env.With("QMAILHOST", host)
		}
	}
	args = append(append(args, "--"), recipients...)
	return &prog.Become{Args: args, Env: env, Dir: conf.Home, Failed: "unable to run qmail-inject"}
}

// become ends the program by running one of the suite's without arguments.
func become(name string, env prog.Env) error {
	return &prog.Become{Args: []string{"bin/" + name}, Env: env, Dir: conf.Home, Failed: "unable to run " + name}
}
