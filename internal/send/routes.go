package send

import (
	"errors"
	"strings"

	"quail/internal/control"
	"quail/internal/mailaddr"
	"quail/internal/queue"
)

var errNoLocals = errors.New("neither control/locals nor control/me exists")

// routes decides where a recipient goes. See spec "qmail-start and qmail-send",
// sections 7 and 8.
type routes struct {
	envNoAtHost    string
	locals         control.Map
	percentHack    control.Map
	virtualDomains control.Map
}

// route returns the channel of a recipient and the address under which it goes
// there.
func (r *routes) route(recipient string) (queue.Channel, string) {
	local, domain, ok := mailaddr.Split(recipient)
	if !ok {
		domain = r.envNoAtHost
		recipient += "@" + domain
	}
	for r.percentHack.Has(domain) {
		percent := strings.LastIndexByte(local, '%')
		if percent < 0 {
			break
		}
		local, domain = local[:percent], local[percent+1:]
		recipient = local + "@" + domain
	}
	_, domain, _ = mailaddr.Split(recipient) // what was taken for it may hold an @
	if r.locals.Has(domain) {
		return queue.Local, recipient
	}
	if prefix := r.prefix(append([]string{recipient}, mailaddr.Suffixes(domain)...)); prefix != "" {
		return queue.Local, prefix + "-" + recipient
	}
	return queue.Remote, recipient
}

// prefix returns the value of the first of keys, or of the empty key, in
// virtualdomains. An empty value ends the search like any other.
func (r *routes) prefix(keys []string) string {
	for _, key := range append(keys, "") {
		if value, ok := r.virtualDomains.Lookup(key); ok {
			return value
		}
	}
	return ""
}

// withoutPrefix undoes for a bounce what route did to a virtual recipient. It looks
// up the domain only, as qmail does: a recipient that was virtual by its whole
// address keeps its prefix.
func (r *routes) withoutPrefix(recipient string) string {
	_, domain, ok := mailaddr.Split(recipient)
	if !ok {
		return recipient
	}
	if prefix := r.prefix(mailaddr.Suffixes(domain)); prefix != "" {
		return strings.TrimPrefix(recipient, prefix+"-")
	}
	return recipient
}

// verpMark at the end of a sender asks for a sender of its own for each recipient.
const verpMark = "-@[]"

// senderFor returns the sender that a recipient sees: owner-@host-@[] becomes
// owner-user=domain@host for user@domain.
func senderFor(sender, recipient string) string {
	base, ok := strings.CutSuffix(sender, verpMark)
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
