// Package route decides, by control/envnoathost, percenthack, locals and
// virtualdomains, whether a recipient is delivered here or at another host, and
// under which address. See spec "qmail-start and qmail-send", sections 7, 8 and 12.
//
// qmail-send routes by it, qmail-explain tells of it. Addresses are a stranger's:
// any bytes. Every one of them has a route, and none is looked into further than
// its last @ and its percent signs.
package route

import (
	"errors"
	"strings"

	"quail/internal/control"
	"quail/internal/mailaddr"
	"quail/internal/queue"
)

var errNoLocals = errors.New("neither control/locals nor control/me exists")

// Table is what the control files say.
type Table struct {
	EnvNoAtHost    string
	Locals         control.Map
	PercentHack    control.Map
	VirtualDomains control.Map

	me     string // control/me, for locals
	haveMe bool
}

// Read reads the files in the control directory d.
func Read(d control.Dir) (t Table, err error) {
	if t.me, t.haveMe, err = d.Line("me"); err != nil {
		return t, err
	}
	if t.EnvNoAtHost, err = d.LineOr("envnoathost", "envnoathost"); err != nil {
		return t, err
	}
	if t.PercentHack, _, err = d.Set("percenthack"); err != nil {
		return t, err
	}
	err = t.Reread(d)
	return t, err
}

// RereadError says which of the files could not be read again.
type RereadError struct {
	Name string
	Err  error
}

func (e *RereadError) Error() string { return "control/" + e.Name + ": " + e.Err.Error() }
func (e *RereadError) Unwrap() error { return e.Err }

// Reread takes up locals and virtualdomains, both or neither: what qmail-send does
// on HUP. What stands for an absent locals is control/me as Read found it. An error
// is a *RereadError.
func (t *Table) Reread(d control.Dir) error {
	locals, set, err := d.Set("locals")
	if err == nil && !set {
		if !t.haveMe {
			err = errNoLocals
		}
		locals = control.NewSet([]string{t.me})
	}
	if err != nil {
		return &RereadError{"locals", err}
	}
	virtualDomains, _, err := d.Map("virtualdomains")
	if err != nil {
		return &RereadError{"virtualdomains", err}
	}
	t.Locals, t.VirtualDomains = locals, virtualDomains
	return nil
}

// Way is where a recipient goes, and by what.
type Way struct {
	Channel queue.Channel
	Address string // the recipient as it goes there

	NoHost    bool     // it had no @, and got EnvNoAtHost
	Unwrapped []string // what percenthack made of it, one step after another
	Local     bool     // its host is in locals
	// Virtual says that a line of virtualdomains applies, and Key and Prefix are what
	// stands before and after its colon. A line without a prefix is an exception from
	// the lines after it: the recipient goes where it would without any.
	Virtual     bool
	Key, Prefix string
}

// Find returns the way of a recipient.
func (t *Table) Find(recipient string) (w Way) {
	local, domain, ok := mailaddr.Split(recipient)
	if !ok {
		w.NoHost = true
		domain = t.EnvNoAtHost
		recipient += "@" + domain
	}
	for t.PercentHack.Has(domain) {
		percent := strings.LastIndexByte(local, '%')
		if percent < 0 {
			break
		}
		local, domain = local[:percent], local[percent+1:]
		recipient = local + "@" + domain
		w.Unwrapped = append(w.Unwrapped, recipient)
	}
	w.Channel, w.Address = queue.Remote, recipient
	_, domain, _ = mailaddr.Split(recipient) // what was taken for it may hold an @
	if w.Local = t.Locals.Has(domain); w.Local {
		w.Channel = queue.Local
		return w
	}
	w.Key, w.Prefix, w.Virtual = t.virtual(append([]string{recipient}, mailaddr.Suffixes(domain)...))
	if w.Prefix != "" {
		w.Channel, w.Address = queue.Local, w.Prefix+"-"+recipient
	}
	return w
}

// Route returns the channel of a recipient and the address under which it goes
// there.
func (t *Table) Route(recipient string) (queue.Channel, string) {
	w := t.Find(recipient)
	return w.Channel, w.Address
}

// virtual returns the first of keys, or the empty key, that is in virtualdomains,
// and its value. An empty value ends the search like any other.
func (t *Table) virtual(keys []string) (key, prefix string, ok bool) {
	for _, key := range append(keys, "") {
		if prefix, ok := t.VirtualDomains.Lookup(key); ok {
			return key, prefix, true
		}
	}
	return "", "", false
}

// WithoutPrefix undoes for a bounce what Route did to a virtual recipient. It looks
// up the domain only, as qmail does: a recipient that was virtual by its whole
// address keeps its prefix.
func (t *Table) WithoutPrefix(recipient string) string {
	_, domain, ok := mailaddr.Split(recipient)
	if !ok {
		return recipient
	}
	if _, prefix, _ := t.virtual(mailaddr.Suffixes(domain)); prefix != "" {
		return strings.TrimPrefix(recipient, prefix+"-")
	}
	return recipient
}

// VerpMark at the end of a sender asks for a sender of its own for each recipient.
const VerpMark = "-@[]"

// SenderFor returns the sender that a recipient sees: owner-@host-@[] becomes
// owner-user=domain@host for user@domain.
func SenderFor(sender, recipient string) string {
	base, ok := strings.CutSuffix(sender, VerpMark)
	if !ok {
		return sender
	}
	box, host, ok1 := mailaddr.Split(base)
	user, domain, ok2 := mailaddr.Split(recipient)
	if !ok1 || !ok2 {
		return sender
	}
	return box + user + "=" + domain + "@" + host
}
