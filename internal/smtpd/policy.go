package smtpd

import (
	"quail/internal/control"
	"quail/internal/localaddr"
	"quail/internal/mailaddr"
	"quail/internal/prog"
	"quail/internal/rcpthosts"
)

// policy is what the administrator decided about senders and recipients. Every
// such decision is made here; commands.go words the answers.
type policy struct {
	badMailFrom control.Map
	rcptHosts   *rcpthosts.Rcpthosts

	relaying bool   // this client may send to anybody: RELAYCLIENT is set
	suffix   string // and that is appended to its recipients

	localIPHost string // the name for a domain that is an address of this host
	hasIPHost   bool
}

func loadPolicy(dir control.Dir, env prog.Env) (p policy, err error) {
	if p.localIPHost, p.hasIPHost, err = lineOrMe(dir, "localiphost"); err != nil {
		return p, err
	}
	if p.badMailFrom, _, err = dir.Set("badmailfrom"); err != nil {
		return p, err
	}
	p.suffix, p.relaying = env.Lookup("RELAYCLIENT")
	p.rcptHosts, err = rcpthosts.Load(dir)
	return p, err
}

// badSender reports whether the administrator wants no mail from sender: it is
// listed, or @ and its domain are.
func (p *policy) badSender(sender string) bool {
	_, domain, ok := mailaddr.Split(sender)
	return p.badMailFrom.Has(sender) || ok && p.badMailFrom.Has("@"+domain)
}

// recipient reports whether this client may send mail to address, and returns the
// recipient to be put into the envelope.
func (p *policy) recipient(address string) (recipient string, ok bool, err error) {
	if p.relaying {
		return address + p.suffix, true, nil
	}
	ok, err = p.rcptHosts.Allowed(address)
	return address, ok, err
}

// atHome returns address with localiphost in place of its domain if that is one
// of this host's IP addresses. The host's addresses are looked up only then: few
// clients write such an address.
func (p *policy) atHome(address string) (string, error) {
	if !p.hasIPHost {
		return address, nil
	}
	ip, ok := literal(address)
	if !ok {
		return address, nil
	}
	mine, err := localaddr.Local()
	if err != nil || !mine.Has(ip) {
		return address, err
	}
	local, _, _ := mailaddr.Split(address)
	return local + "@" + p.localIPHost, nil
}
