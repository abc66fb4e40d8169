package smtpd

import (
	"slices"
	"strings"

	"quail/internal/control"
	"quail/internal/mailaddr"
)

// accounts is what the control files say of those who log in. It is not changed: sessions
// share it.
type accounts struct {
	plaintext bool // passwords may come without TLS: plaintextauth
	bound     bool // there is a senderlogins
	// senders has the logins of an address, or of @ and a domain, with commas between
	// them: senderlogins.
	senders control.Map
	here    control.Map // me and locals: the domains of logins without one
	idHost  string      // right of the @ in Message-ID
}

// accountFiles are what accounts is made of.
var accountFiles = [...]string{".", "plaintextauth", "senderlogins", "me", "locals", "idhost"}

func readAccounts(dir control.Dir) (*accounts, error) {
	a := &accounts{}
	plaintext, err := dir.Int("plaintextauth", 0)
	if err != nil {
		return nil, err
	}
	a.plaintext = plaintext == 1
	if a.senders, a.bound, err = dir.Map("senderlogins"); err != nil {
		return nil, err
	}
	me, _, err := dir.Line("me")
	if err != nil {
		return nil, err
	}
	locals, _, err := dir.List("locals")
	if err != nil {
		return nil, err
	}
	a.here = control.NewSet(append(locals, me))
	a.idHost, err = dir.LineOr("idhost", "unknown")
	return a, err
}

// maySend reports whether a login may use an address as the sender of its mail: no
// address at all, which is forged by nobody; one that senderlogins gives to it; and its
// own, also with an extension. One that has no domain is at me and at every one of locals.
func (a *accounts) maySend(login, sender string) bool {
	login, sender = mailaddr.Lower(login), mailaddr.Lower(sender)
	box, domain, ok := mailaddr.Split(sender)
	if sender == "" {
		return true
	}
	if !ok {
		return a.listed(login, sender)
	}
	return a.listed(login, sender) || a.listed(login, "@"+domain) || a.own(login, box, domain)
}

// listed reports whether senderlogins has the login in the line of an address.
func (a *accounts) listed(login, address string) bool {
	logins, ok := a.senders.Lookup(address)
	return ok && slices.ContainsFunc(strings.Split(logins, ","), func(one string) bool {
		return login != "" && mailaddr.Lower(strings.TrimSpace(one)) == login
	})
}

// own reports whether the address is that of the login itself.
func (a *accounts) own(login, box, domain string) bool {
	user, home, ok := mailaddr.Split(login)
	if user == "" || ok && home != domain || !ok && !a.here.Has(domain) {
		return false
	}
	return box == user || strings.HasPrefix(box, user+"-")
}
