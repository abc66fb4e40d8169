// Package local is qmail-local: it does what the recipient's .qmail file says with
// one message. See spec "Local delivery", sections 5 to 13.
//
// It runs as the recipient. The .qmail file is the recipient's, the message and
// the sender's address are a stranger's, and so is the part of the recipient's
// address that picks the file. Nothing of the stranger's is ever parsed by a shell
// or opened as a file, but it does stand in the environment of programs.
//
// Lines are carried out one after the other, and forwarding comes last, because a
// failure of one line means that all of them are tried again later: what is done
// early is done twice. Everything printed is the delivery's report, in the log and
// perhaps in a bounce; that is why messages stand there without a program's name.
package local

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"quail/internal/dotqmail"
	"quail/internal/durable"
	"quail/internal/errno"
	"quail/internal/fault"
	"quail/internal/instructions"
	"quail/internal/maildir"
	"quail/internal/prog"
)

// job is one delivery while it is carried out.
type job struct {
	p    *prog.Process
	to   dotqmail.Delivery
	home instructions.Home
	doit bool // false: describe only
	// syncs is shared with deliveries to the same file system, if there are any.
	syncs *durable.Group

	started   time.Time           // the date of UFLINE
	variables []dotqmail.Variable // DEFAULT and NEWSENDER, when they are known
	env       prog.Env            // see environment

	newSender   string
	forwardOnly bool
	forwards    []string
	names       *maildir.Namer

	// Instructions reached so far, for the report.
	files, programs, forwarded int
	qp                         int // of the forwarded message; 0 without
}

// Program is qmail-local, with what the jobs of one process have in common.
type Program struct {
	mu    sync.Mutex
	syncs map[uint64]*durable.Group // by number of file system
}

// Run is one delivery. The message is p.Stdin, a file that can be read again.
func (w *Program) Run(p *prog.Process) error {
	j := &job{p: p, doit: true, started: p.Now()}
	fallback, err := j.arguments()
	if err != nil {
		return err
	}
	// Differs from qmail, where only qmail-lspawn refuses: a .qmail file never gets
	// root's hands. Describing is allowed, and touches nothing but the file.
	if j.doit && p.UID == 0 {
		return j.fail(prog.StatusTemporary, "Not allowed to perform deliveries as root. (#4.3.0)")
	}
	if err := j.checkHome(); err != nil {
		return err
	}
	if p.Warm {
		j.syncs = w.group(j.to.Home, j.home.Device, p.Now)
	}
	if j.doit {
		if err := j.checkLoop(); err != nil {
			return err
		}
	}
	fault.In(j.to.Local)
	body, err := j.instructions(fallback)
	if err != nil {
		return err
	}
	if err := j.setNewSender(); err != nil {
		return err
	}
	if err := j.follow(body); err != nil {
		return err
	}
	if err := j.forward(); err != nil {
		return err
	}
	j.report()
	return nil
}

// group returns how deliveries to the file system of a home directory are synced. A
// delivery in a process of its own has nobody to share with.
func (w *Program) group(home string, device uint64, now func() time.Time) *durable.Group {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.syncs[device]
	if g == nil {
		g = durable.NewGroup(home, now)
		if w.syncs == nil {
			w.syncs = map[uint64]*durable.Group{}
		}
		w.syncs[device] = g
	}
	return g
}

// arguments takes the command line apart. It returns the instructions to be
// followed where there is no .qmail file.
func (j *job) arguments() (fallback string, err error) {
	usage := prog.Usage("qmail-local [ -nN ] user homedir local dash ext domain sender aliasempty")
	g := j.p.Getopt("nN")
	for g.Next() {
		switch g.Opt {
		case 'n':
			j.doit = false
		case 'N':
			j.doit = true
		default:
			return "", usage
		}
	}
	a := g.Rest
	if len(a) != 8 || !strings.HasPrefix(a[1], "/") {
		return "", usage
	}
	j.to = dotqmail.Delivery{
		User: a[0], Home: a[1],
		Local: a[2], Dash: a[3], Ext: a[4], Host: a[5],
		Sender: a[6],
	}
	return a[7], nil
}

// fail ends the delivery with a report of one line.
func (j *job) fail(status int, text string) error {
	fmt.Fprintln(j.p.Stderr, text)
	return prog.Exit(status)
}

// temporary is fail for a system error: "WHAT: ERR. (CODE)", to be tried again.
func (j *job) temporary(what string, err error, code string) error {
	return j.fail(prog.StatusTemporary, what+": "+errno.Text(err)+". ("+code+")")
}

// refused is fail for what package instructions refuses.
func (j *job) refused(err error) error {
	var r *instructions.Refusal
	if !errors.As(err, &r) {
		return err
	}
	if r.Permanent {
		return j.fail(prog.StatusPermanent, r.Text)
	}
	return j.fail(prog.StatusTemporary, r.Text)
}

// checkHome refuses to work in a home directory that others can write to, and in
// one whose owner asks for a pause.
func (j *job) checkHome() (err error) {
	if j.home, err = instructions.Open(j.to.Home); err != nil {
		return j.refused(err)
	}
	if j.home.Sticky && j.doit {
		return j.refused(instructions.ErrSticky)
	}
	if j.home.Sticky {
		fmt.Fprintln(j.p.Stderr, "Warning: home directory is sticky.")
	}
	return nil
}

// environment returns that of programs, and of whatever queues forwarded mail. Most
// deliveries need none.
func (j *job) environment() prog.Env {
	if j.env != nil {
		return j.env
	}
	j.env = j.p.Env.ForUsers()
	for _, v := range append(j.to.Variables(j.started), j.variables...) {
		j.env = j.env.With(v.Name, v.Value)
	}
	return j.env
}

// instructions returns the text to be followed: that of the address's .qmail file,
// or fallback if the file is empty or the user has none. It sets DEFAULT and
// forwardOnly.
func (j *job) instructions(fallback string) ([]byte, error) {
	file, err := j.home.Find(j.to.Dash, j.to.Ext)
	if err != nil {
		return nil, j.refused(err)
	}
	if file.Sets {
		j.variables = append(j.variables, dotqmail.Variable{Name: "DEFAULT", Value: file.Default})
	}
	if file.Fallback {
		return []byte(fallback), nil
	}
	j.forwardOnly = file.ForwardOnly
	return file.Body, nil
}

// setNewSender finds out under which sender mail is forwarded, and tells programs.
func (j *job) setNewSender() (err error) {
	if j.newSender, _, err = j.home.NewSender(j.to); err != nil {
		return j.refused(err)
	}
	j.variables = append(j.variables, dotqmail.Variable{Name: "NEWSENDER", Value: j.newSender})
	return nil
}

// follow carries the instructions out, up to the first that fails.
func (j *job) follow(body []byte) error {
	lines, err := dotqmail.Parse(body)
	if err != nil {
		return j.fail(prog.StatusTemporary, dotqmail.Blank)
	}
	for _, line := range lines {
		stop, err := j.carryOut(line)
		if stop || err != nil {
			return err
		}
	}
	return nil
}

// carryOut does one instruction. stop says that further lines are to be ignored.
func (j *job) carryOut(line dotqmail.Instruction) (stop bool, err error) {
	if text := line.NotAllowed(); text != "" && j.forwardOnly {
		return false, j.fail(prog.StatusTemporary, text)
	}
	switch line.Kind {
	case dotqmail.Mbox, dotqmail.Maildir:
		j.files++
		switch {
		case !j.doit && line.Kind == dotqmail.Mbox:
			j.describe("mbox", line)
		case !j.doit:
			j.describe("maildir", line)
		case line.Kind == dotqmail.Mbox:
			err = j.toMbox(line.Arg())
		default:
			err = j.toMaildir(line.Arg())
		}
	case dotqmail.Program:
		j.programs++
		if j.doit {
			return j.toProgram(line.Arg())
		}
		j.describe("program", line)
	case dotqmail.Forward:
		j.forwarded++
		if j.doit {
			j.forwards = append(j.forwards, line.Arg())
		} else {
			j.describe("forward", line)
		}
	case dotqmail.ForwardOnly:
		j.forwardOnly = true
	}
	return false, err
}

func (j *job) describe(what string, line dotqmail.Instruction) {
	fmt.Fprintln(j.p.Stdout, what, line.Text)
}

// report says what was done. The log shows it beside a success.
func (j *job) report() {
	text := fmt.Sprintf("did %d+%d+%d\n", j.files, j.forwarded, j.programs)
	if j.qp != 0 {
		text += fmt.Sprintf("qp %d\n", j.qp)
	}
	io.WriteString(j.p.Stdout, text)
}
