package explain

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"quail/internal/accounts"
	"quail/internal/assigned"
	"quail/internal/delivery"
	"quail/internal/dotqmail"
	"quail/internal/instructions"
	"quail/internal/mailaddr"
	"quail/internal/maildir"
	"quail/internal/users"
)

// maxCandidates bounds how many names of .qmail files are listed that do not exist.
const maxCandidates = 20

// local tells what qmail-lspawn and qmail-local do.
func (e *Explainer) local(a *Address, recipient, sender string, above []string) {
	local, domain, _ := mailaddr.Split(recipient)
	if local == "" {
		a.add(Step{Step: "qmail-lspawn", Outcome: Applies, Text: "an address without a local part is nobody's"})
		a.end(Discarded, "")
		return
	}
	user, ok := e.user(a, local)
	if !ok {
		return
	}
	if user.UID == 0 {
		a.stop(Step{Step: "qmail-lspawn", Text: lspawnSays(delivery.StatusRoot)}, Deferred)
		return
	}
	d := &deliveryHere{Explainer: e, a: a, above: append(slices.Clip(above), recipient), to: dotqmail.Delivery{
		User: user.User, Home: user.Home, Local: local, Host: domain, Dash: user.Dash, Ext: user.Ext, Sender: sender,
	}, own: e.p.UID == 0 || e.p.UID == user.UID}
	d.deliver(slices.Contains(above, recipient))
}

// lspawnSays is what qmail-lspawn reports with a status of its own.
func lspawnSays(status int) string {
	return strings.TrimSuffix(delivery.LocalReport(delivery.Outcome{Code: status})[1:], "\n")
}

// user tells whose the address is.
func (e *Explainer) user(a *Address, local string) (users.Assignment, bool) {
	entry, ok, err := assigned.Find(e.db, local)
	s := Step{Step: "users/cdb", Outcome: Applies, File: "users/cdb", Match: entry.Line, Value: entry.User}
	var failure *assigned.Failure
	if errors.As(err, &failure) {
		s.Text = lspawnSays(failure.Status) + " " + cause(err)
		a.stop(s, e.unreadable(err))
		return users.Assignment{}, false
	}
	if ok {
		s.Text = "the line " + entry.Line + ": " + of(entry.Assignment)
		a.add(s)
		return entry.Assignment, true
	}
	s.Outcome, s.Text = Passes, "no entry"
	a.add(s)
	return e.account(a, local)
}

// account tells what qmail-getpw finds.
func (e *Explainer) account(a *Address, local string) (users.Assignment, bool) {
	known := accounts.Known{P: e.p, FilesOnly: true}
	found, err := known.Find(local)
	for _, passed := range found.Passed {
		a.add(Step{Step: "qmail-getpw", Outcome: Passes, Match: passed.Name, Text: "not the user " + passed.Name + ": " + passed.Reason})
	}
	s := Step{Step: "qmail-getpw", Outcome: Applies, File: accounts.PasswdFile, Match: found.User, Value: found.User}
	switch {
	case errors.Is(err, accounts.ErrElsewhere):
		s.Text = err.Error()
		a.stop(s, Unseen)
	case errors.Is(err, accounts.ErrNoAlias):
		s.Text = lspawnSays(delivery.StatusNoAlias)
		a.stop(s, Deferred)
	case err != nil:
		s.Text = cause(err)
		a.stop(s, e.unreadable(err))
	default:
		s.Text = of(found.Assignment)
		a.add(s)
	}
	return found.Assignment, err == nil
}

func of(u users.Assignment) string {
	return fmt.Sprintf("user %s, uid %d, gid %d, home %s, .qmail files %q", u.User, u.UID, u.GID, u.Home, ".qmail"+u.Dash+u.Ext)
}

// deliveryHere is one delivery by qmail-local.
type deliveryHere struct {
	*Explainer
	a     *Address
	to    dotqmail.Delivery
	above []string // with this recipient
	own   bool     // what is closed to us is closed to the recipient

	home      instructions.Home
	newSender string
	delivers  bool // to something that is no forward
	forwards  []string
}

// refused ends the delivery by what package instructions refuses.
func (d *deliveryHere) refused(s Step, err error) {
	result := Deferred
	var r *instructions.Refusal
	switch {
	case errors.As(err, &r) && r.Permanent:
		result = Bounced
	case errors.Is(err, fs.ErrPermission) && !d.own:
		result = Unseen
	}
	s.Text = err.Error()
	d.a.stop(s, result)
}

// deliver goes through the steps of qmail-local. looping says that the message has
// been here before.
func (d *deliveryHere) deliver(looping bool) {
	var err error
	home := Step{Step: "home", File: d.to.Home, Outcome: Applies, Text: d.to.Home + " may be delivered in"}
	if d.home, err = instructions.Open(d.to.Home); err == nil && d.home.Sticky {
		err = instructions.ErrSticky
	}
	if err != nil {
		d.refused(home, err)
		return
	}
	d.a.add(home)
	if looping {
		d.a.stop(Step{Step: "loop", Text: dotqmail.Looping}, Bounced)
		return
	}
	file, err := d.home.Find(d.to.Dash, d.to.Ext)
	d.candidates(file)
	if err != nil {
		d.refused(Step{Step: ".qmail", File: file.Name.File}, err)
		return
	}
	body := file.Body
	if file.Fallback {
		body = []byte(d.fallback)
		if !d.hasFallback {
			d.a.add(Step{Step: "default", Outcome: Applies, Text: "the default delivery, which qmail-start was given and is not known here (--default-delivery)"})
			d.a.end(Delivered, "")
			return
		}
	}
	if !d.owners() {
		return
	}
	if d.instructions(body, file) {
		d.finish()
	}
}

// candidates tells which names of .qmail files were tried, and which one it is.
func (d *deliveryHere) candidates(file instructions.File) {
	absent := 0
	for name := range dotqmail.Names(d.to.Dash, d.to.Ext) {
		if file.Found && name.File == file.Name.File {
			break
		}
		if absent++; absent <= maxCandidates {
			d.a.add(Step{Step: ".qmail", Outcome: Passes, File: name.File, Text: name.File + " is not there"})
		}
	}
	if absent > maxCandidates {
		d.a.add(Step{Step: ".qmail", Outcome: Passes, Text: fmt.Sprintf("nor are %d more names", absent-maxCandidates)})
	}
	if !file.Found {
		return
	}
	text := file.Name.File + " answers"
	if file.Sets {
		text += ", DEFAULT is " + quoted(file.Default)
	}
	if file.Fallback {
		text += ", but is empty"
	}
	if file.ForwardOnly {
		text += ", and has its x bit set: it may only forward"
	}
	d.a.add(Step{Step: ".qmail", Outcome: Applies, File: file.Name.File, Value: file.Default, Text: text})
}

// owners tells under which sender mail is forwarded, where that is a list's.
func (d *deliveryHere) owners() bool {
	sender, owners, err := d.home.NewSender(d.to)
	s := Step{Step: "owner", Outcome: Applies, Value: sender}
	if err != nil {
		d.refused(s, err)
		return false
	}
	if len(owners) > 0 {
		s.File = owners[len(owners)-1]
		s.Text = strings.Join(owners, " and ") + " exists: forwards go out from " + sender
		d.a.add(s)
	}
	d.newSender = sender
	return true
}

// instructions tells what each line does. It returns false if one of them keeps the
// delivery from its end.
func (d *deliveryHere) instructions(body []byte, file instructions.File) bool {
	name := "line"
	if file.Fallback {
		name = "default"
	}
	lines, err := dotqmail.Lines(body)
	if err != nil {
		d.a.stop(Step{Step: name, Line: 1, File: file.Name.File, Text: dotqmail.Blank}, Deferred)
		return false
	}
	forwardOnly := file.ForwardOnly
	for _, line := range lines {
		s := Step{Step: name, Line: line.Number, File: file.Name.File, Outcome: Applies, Value: line.Arg()}
		if !line.Does {
			s.Outcome, s.Value = Passes, line.Text
			s.Text = ignored(line.Text)
			d.a.add(s)
			continue
		}
		if s.Text = line.NotAllowed(); s.Text != "" && forwardOnly {
			d.a.stop(s, Deferred)
			return false
		}
		if line.Kind == dotqmail.ForwardOnly {
			forwardOnly = true
		}
		if !d.instruction(s, line.Instruction) {
			return false
		}
	}
	return true
}

// ignored says what a line is that does nothing.
func ignored(text string) string {
	switch {
	case strings.HasPrefix(text, "#"):
		return "comment: " + text
	case strings.HasPrefix(text, "+"):
		return "not known, ignored: " + text
	default:
		return "blank"
	}
}

// instruction tells what one line does.
func (d *deliveryHere) instruction(s Step, i dotqmail.Instruction) bool {
	switch i.Kind {
	case dotqmail.Mbox:
		s.Match, s.Text = "mbox", "mbox "+i.Arg()
		d.delivers = true
	case dotqmail.Maildir:
		s.Match, s.Text = "maildir", "Maildir "+i.Arg()
		d.delivers = true
		err := maildir.Enter(d.home.Path(i.Arg()))
		if errors.Is(err, fs.ErrPermission) && !d.own {
			s.Text += " (its inside cannot be seen from here)"
		} else if err != nil {
			s.Outcome = Refuses
			s.Text += ": " + dotqmail.NoMaildir
			d.a.add(s)
			d.a.end(Deferred, dotqmail.NoMaildir)
			return false
		}
	case dotqmail.Program:
		s.Match, s.Text = "program", "program "+i.Arg()+" (not run here: by its exit status it may end the delivery)"
		d.delivers = true
	case dotqmail.Forward:
		s.Match, s.Text = "forward", "forward to "+i.Arg()
		d.forwards = append(d.forwards, i.Arg())
	case dotqmail.ForwardOnly:
		s.Match, s.Text = "list", "from here on only forwarding is allowed"
	}
	d.a.add(s)
	return true
}

// finish follows the forwards and says what it all comes to.
func (d *deliveryHere) finish() {
	for _, address := range d.forwards {
		f := &Address{Address: show(address), Depth: d.a.Depth + 1, Steps: []Step{}}
		d.a.Forwards = append(d.a.Forwards, f)
		if f.Depth > maxDepth || d.left <= 0 {
			f.end(NotFollowed, "")
			continue
		}
		d.follow(f, address, d.newSender, d.above)
	}
	switch {
	case d.delivers:
		d.a.end(Delivered, "")
	case len(d.forwards) > 0:
		d.a.end(Forwarded, "")
	default:
		d.a.end(Discarded, "no line delivers")
	}
}
