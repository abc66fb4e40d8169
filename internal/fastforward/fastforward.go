// Package fastforward is the program fastforward: it forwards a message as a database
// of aliases says, which stands for thousands of .qmail files. See fastforward(1) of
// fastforward 0.51, and packages forwarding and maillist for what it reads.
//
// It runs as alias, or whoever owns the database. The address that it looks up is a
// stranger's. The lists that the database names may be other users': each is read
// once, from a regular file that everybody may read, and can add recipients, no programs.
package fastforward

import (
	"errors"
	"fmt"

	"quail/internal/ascii"
	"quail/internal/cdbfile"
	"quail/internal/forward"
	"quail/internal/forwarding"
	"quail/internal/prog"
)

// stop is the exit status after which qmail-local ignores the rest of .qmail.
const stop = 99

const usage = "fastforward [ -nNpPdD ] data.cdb"

// options are those of the command line.
type options struct {
	dry         bool // say what would be done
	passThrough bool // leave addresses that are not in the database to others
	byDefault   bool // the address is made of DEFAULT or EXT, not RECIPIENT
}

// Run is fastforward.
func Run(p *prog.Process) error {
	var o options
	g := p.Getopt("nNpPdD")
	for g.Next() {
		switch g.Opt {
		case 'n', 'N':
			o.dry = g.Opt == 'n'
		case 'p', 'P':
			o.passThrough = g.Opt == 'p'
		case 'd', 'D':
			o.byDefault = g.Opt == 'd'
		default:
			return prog.Usage(usage)
		}
	}
	if len(g.Rest) == 0 {
		return prog.Usage(usage)
	}
	db, err := cdbfile.Open(p.Path(g.Rest[0]))
	if err != nil {
		return prog.Fail("unable to read "+g.Rest[0], err)
	}
	defer db.Close()
	recipient, err := o.recipient(p.Env)
	if err != nil {
		return prog.Perm(err)
	}
	x, err := expand(p, g.Rest[0], forwarding.Table{Find: db.Find}, recipient)
	switch {
	case err != nil:
		return err
	case x != nil:
		return o.carryOut(p, x)
	case o.passThrough:
		return nil
	}
	fmt.Fprintln(p.Stderr, "Sorry, no mailbox here by that name. (#5.1.1)")
	return prog.Exit(prog.StatusPermanent)
}

// recipient returns the address that is looked up.
func (o options) recipient(env prog.Env) (string, error) {
	if !o.byDefault {
		recipient, ok := env.Lookup("RECIPIENT")
		if !ok {
			return "", errors.New("$RECIPIENT must be set")
		}
		return recipient, nil
	}
	local, ok := env.Lookup("DEFAULT")
	if !ok {
		local, ok = env.Lookup("EXT")
	}
	if !ok {
		return "", errors.New("$DEFAULT or $EXT must be set")
	}
	host, ok := env.Lookup("HOST")
	if !ok {
		return "", errors.New("$HOST must be set")
	}
	return local + "@" + host, nil
}

// carryOut runs the programs and forwards the message, or says that it would.
func (o options) carryOut(p *prog.Process, x *expansion) error {
	if o.dry {
		describe(p, x)
	} else if err := deliver(p, x); err != nil {
		return err
	}
	if o.passThrough {
		return prog.Exit(stop)
	}
	return nil
}

func deliver(p *prog.Process, x *expansion) error {
	for _, e := range x.programs {
		command, lines, _ := forwarding.Program(e)
		head := ""
		if lines {
			head = p.Env.Get("UFLINE") + p.Env.Get("RPLINE") + p.Env.Get("DTLINE")
		}
		if err := forward.Program(p, head, command); err != nil {
			return err
		}
	}
	if len(x.recipients) == 0 {
		return nil
	}
	dtline, err := forward.Variable(p, "DTLINE")
	if err != nil {
		return err
	}
	sender, err := forward.Variable(p, "SENDER")
	if err != nil {
		return err
	}
	if x.owned && canBounce(sender) {
		sender = x.owner
	}
	return forward.Send(p, dtline, sender, x.recipients)
}

// describe prints what deliver would do.
func describe(p *prog.Process, x *expansion) {
	for _, e := range x.programs {
		fmt.Fprintf(p.Stderr, "run %s\n", ascii.Printable(string(e), '_'))
	}
	if len(x.recipients) == 0 {
		fmt.Fprintln(p.Stderr, "no forwarding")
		return
	}
	sender, set := p.Env.Lookup("SENDER")
	if !set {
		sender = "original envelope sender"
	}
	if x.owned && canBounce(sender) {
		sender = x.owner
	}
	fmt.Fprintf(p.Stderr, "from <%s>\n", ascii.Printable(sender, '_'))
	for _, r := range x.recipients {
		fmt.Fprintf(p.Stderr, "to <%s>\n", ascii.Printable(r, '_'))
	}
}

// canBounce reports whether a sender is told of failures. Others stay what they are,
// or a bounce could make another one.
func canBounce(sender string) bool { return sender != "" && sender != "#@[]" }
