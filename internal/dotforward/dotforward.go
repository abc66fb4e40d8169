// Package dotforward is the program dot-forward: it does what a .forward file says, for
// accounts that come from Sendmail. See dot-forward(1) of dot-forward 0.71.
//
// It runs as the recipient, whose file it is. The message and its addresses are a
// stranger's; they are passed on and decide nothing.
package dotforward

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"quail/internal/aliases"
	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/durable"
	"quail/internal/forward"
	"quail/internal/mailaddr"
	"quail/internal/prog"
)

// stop is the exit status after which qmail-local ignores the rest of .qmail.
const stop = 99

// Run is dot-forward.
func Run(p *prog.Process) error {
	j := job{p: p}
	g := p.Getopt("nN")
	for g.Next() {
		switch g.Opt {
		case 'n':
			j.dry = true
		case 'N':
			j.dry = false
		default:
			return prog.Usage("dot-forward [ -nN ] file ...")
		}
	}
	names, err := control.In(conf.Home).Names()
	if err != nil {
		return prog.Fail("unable to read controls", err)
	}
	j.names = aliases.Names(names)
	for _, file := range g.Rest {
		plan, err := j.read(file)
		if err != nil {
			return err
		}
		if !plan.empty() {
			return j.carryOut(plan)
		}
	}
	j.say("direct delivery")
	return nil
}

type job struct {
	p     *prog.Process
	names aliases.Names
	dry   bool // say what would be done
}

// say prints a line if there is nothing else to be done.
func (j *job) say(format string, args ...any) {
	if j.dry {
		fmt.Fprintf(j.p.Stderr, format+"\n", args...)
	}
}

// plan is what a file asks for.
type plan struct {
	programs   []string
	recipients []string
	direct     bool // the user is to have the message, as if there were no file
}

func (a *plan) empty() bool { return !a.direct && len(a.programs) == 0 && len(a.recipients) == 0 }

// read returns the plan of a file. One that is not there has an empty one.
//
// Differs from qmail: nothing is done before all of the file has been read. An error in
// the last line would otherwise have the programs before it run at each attempt.
func (j *job) read(file string) (*plan, error) {
	a := &plan{}
	f, err := durable.OpenFile(j.p.Path(file), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return nil, prog.Fail("unable to open "+file, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, prog.Fail("unable to stat "+file, err)
	}
	lines := aliases.Lines(f)
	// Never wait: a FIFO is an empty file, and so is a device, as /dev/null is.
	if fi.Mode()&(fs.ModeNamedPipe|fs.ModeDevice) != 0 {
		lines = aliases.Lines(strings.NewReader(""))
	}
	for line, err := range lines {
		if err != nil {
			return nil, prog.Fail("unable to read "+file, err)
		}
		items, err := aliases.Parse(line)
		for i := 0; err == nil && i < len(items); i++ {
			err = j.add(a, items[i])
		}
		if err != nil {
			return nil, err
		}
	}
	if a.empty() {
		j.say("skipping empty file %s", file)
	}
	return a, nil
}

// add takes an item of the file into a plan.
//
// Differs from qmail: an :include: is refused. dot-forward 0.71 would send the message
// to an address of that name.
func (j *job) add(a *plan, item aliases.Item) error {
	if err := item.Check(); err != nil {
		return err
	}
	command, isProgram := item.Program()
	switch {
	case item.Included:
		return errors.New(":include: is not supported")
	case item.Text == "":
	case j.self(item):
		a.direct = true
	case isProgram:
		j.say("pipe through %s", command)
		a.programs = append(a.programs, command)
	default:
		address := j.names.Complete(item)
		j.say("forward %s", address)
		a.recipients = append(a.recipients, address)
	}
	return nil
}

// self reports whether an item is the user whose file it is.
func (j *job) self(item aliases.Item) bool {
	address := j.p.Env.Get("USER")
	if item.Host {
		address += "@" + j.p.Env.Get("HOST")
	}
	return mailaddr.Lower(item.Text) == mailaddr.Lower(address)
}

// carryOut runs the programs and forwards the message.
func (j *job) carryOut(a *plan) error {
	if !j.dry {
		if err := j.run(a.programs); err != nil {
			return err
		}
		if err := j.forward(a.recipients); err != nil {
			return err
		}
	}
	if a.direct {
		j.say("direct delivery")
		return nil
	}
	return prog.Exit(stop)
}

func (j *job) run(commands []string) error {
	head := j.p.Env.Get("UFLINE") + j.p.Env.Get("RPLINE") + j.p.Env.Get("DTLINE")
	for _, command := range commands {
		if err := forward.Program(j.p, head, command); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) forward(recipients []string) error {
	if len(recipients) == 0 {
		return nil
	}
	sender, err := forward.Variable(j.p, "NEWSENDER")
	if err != nil {
		return err
	}
	dtline, err := forward.Variable(j.p, "DTLINE")
	if err != nil {
		return err
	}
	qp, err := forward.Queue(j.p, dtline, sender, recipients)
	if err != nil {
		return fmt.Errorf("unable to forward message: %w", err)
	}
	fmt.Fprintf(j.p.Stderr, "dot-forward: info: qp %d\n", qp)
	return nil
}
