package smtpd

import (
	"quail/internal/addrwatch"
	"quail/internal/control"
	"quail/internal/localaddr"
	"quail/internal/mailaddr"
	"quail/internal/prog"
)

// policy is what the administrator decided about senders and recipients. Every
// such decision is made here; commands.go words the answers.
type policy struct {
	*config
	addresses *addrwatch.Watch // of this host

	limit     int64  // stored bytes of a message; 0 is no limit
	relaying  bool   // this client may send to anybody: RELAYCLIENT is set, or it has logged in
	suffix    string // and that is appended to its recipients
	byAddress bool   // RELAYCLIENT was set

	secure     bool // SMTPS is set: TLS from the first byte
	forceTLS   bool // FORCETLS is set: no mail without TLS
	submission bool // SUBMISSION is set: no mail without a login, and only its own
}

// newPolicy returns what the control files and the environment of a job say.
func newPolicy(c *config, addresses *addrwatch.Watch, env prog.Env) policy {
	p := policy{config: c, addresses: addresses, limit: int64(c.limit)}
	if text, set := env.Lookup("DATABYTES"); set {
		p.limit = int64(control.Number(text))
	}
	p.suffix, p.byAddress = env.Lookup("RELAYCLIENT")
	p.relaying = p.byAddress
	_, p.secure = env.Lookup("SMTPS")
	_, p.submission = env.Lookup("SUBMISSION")
	force := env.Get("FORCETLS")
	p.forceTLS = force != "" && force != "0"
	return p
}

// loggedIn lets the client send to anybody. What RELAYCLIENT has appended is for those
// that it names by their address.
func (p *policy) loggedIn() { p.relaying, p.suffix = true, "" }

// badSender reports whether the administrator wants no mail from sender: it is
// listed, or @ and its domain are.
func (p *policy) badSender(sender string) bool {
	if len(p.badMailFrom) == 0 {
		return false
	}
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
// of this host's IP addresses. Few clients write such an address.
func (p *policy) atHome(address string) (string, error) {
	if !p.hasIPHost {
		return address, nil
	}
	return localaddr.AtHome(address, p.localIPHost, p.addresses.Local)
}
