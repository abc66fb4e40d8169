// Package explain is qmail-explain: it says, step by step, what would happen to a
// message for an address, and does none of it. See spec "qmail-start and
// qmail-send", section 7, "Local delivery", sections 2 to 9, and "Remote delivery",
// sections 3 to 6.
//
// It decides nothing by itself: every step is that of the package by which the
// program in question decides (rcpthosts, route, assigned, accounts, instructions,
// dotqmail, nexthop, tcpto). It runs as its caller and starts no program; what its
// caller may not see is reported as such and never guessed.
//
// Addresses, .qmail files and DNS records are strangers'. They are printed in
// printable ASCII, and can make it follow no more than maxAddresses addresses, at
// most maxDepth forwards deep.
package explain

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/pflag"

	"quail/internal/cdbfile"
	"quail/internal/conf"
	"quail/internal/control"
	"quail/internal/errno"
	"quail/internal/localaddr"
	"quail/internal/nexthop"
	"quail/internal/prog"
	"quail/internal/resolve"
	"quail/internal/tcpto"
)

// Bounds on what is followed of forwards.
const (
	maxDepth     = 5
	maxAddresses = 100
)

const usage = "qmail-explain [ --json ] [ --sender address ] [ --default-delivery instructions ] address ..."

// Run is the program.
func Run(p *prog.Process) error {
	e := New(p, nexthop.Finder{Resolver: &resolve.Resolver{}, Local: localaddr.Local})
	return e.Run()
}

// Explainer explains addresses.
type Explainer struct {
	p       *prog.Process
	control control.Dir
	finder  nexthop.Finder
	db      *cdbfile.Kept
	left    int // how many more addresses may be followed

	sender      string
	fallback    string // the default delivery
	hasFallback bool   // it is known
	spared      map[string]tcpto.Entry
	sparedErr   error
	sparedRead  bool
}

// New returns an Explainer that finds other hosts by finder.
func New(p *prog.Process, finder nexthop.Finder) *Explainer {
	return &Explainer{
		p: p, control: control.In(conf.Home), finder: finder, left: maxAddresses,
		db: cdbfile.Keep(filepath.Join(conf.Home, "users/cdb")),
	}
}

// Run reads the command line and prints the report.
func (e *Explainer) Run() error {
	flags := pflag.NewFlagSet(e.p.Name, pflag.ContinueOnError)
	flags.SetOutput(e.p.Stderr)
	flags.Usage = func() {}
	asJSON := flags.Bool("json", false, "")
	flags.StringVar(&e.sender, "sender", "sender@example.net", "")
	flags.StringVar(&e.fallback, "default-delivery", "", "")
	if err := flags.Parse(e.p.Args); err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(e.p.Stderr, "%s: %s\n", e.p.Name, show(err.Error()))
		return prog.Usage(usage)
	} else if err != nil || flags.NArg() == 0 {
		return prog.Usage(usage)
	}
	e.hasFallback = flags.Changed("default-delivery")
	report := e.Explain(flags.Args())
	write := report.writeText
	if *asJSON {
		write = report.writeJSON
	}
	if err := write(e.p.Stdout); err != nil {
		return prog.Unwritten(err)
	}
	if report.Status != 0 {
		return prog.Exit(report.Status)
	}
	return nil
}

// Explain returns what happens to a message for each of the addresses.
func (e *Explainer) Explain(addresses []string) *Report {
	r := &Report{Sender: show(e.sender), MaxDepth: maxDepth, Addresses: []*Address{}}
	for _, address := range addresses {
		e.left = maxAddresses
		a := &Address{Address: show(address)}
		e.follow(a, e.stranger(a, address), e.sender, nil)
		r.Addresses = append(r.Addresses, a)
	}
	r.Status = worst(r.Addresses)
	return r
}

// follow explains one address of an envelope. above are the recipients that a
// message has been at before, by forwarding.
func (e *Explainer) follow(a *Address, address, sender string, above []string) {
	e.left--
	w, ok := e.route(a, address)
	if !ok {
		return
	}
	if sender = e.senderFor(a, sender, w.Address); a.Channel == "local" {
		e.local(a, w.Address, sender, above)
	} else {
		e.remote(a, w.Address)
	}
}

// unreadable is the result where err keeps a program of the suite, or just us, from
// reading a file.
func (e *Explainer) unreadable(err error) Result {
	if errors.Is(err, fs.ErrPermission) && e.p.UID != 0 {
		return Unseen
	}
	return Deferred
}

// cause is the system's reason in an error, in qmail's words.
func cause(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Path + ": " + errno.Text(path.Err)
	}
	return err.Error()
}
