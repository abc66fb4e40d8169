package nexthop

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"quail/internal/mailaddr"
)

// Policy is what is wanted of the way to a host: whether mail goes there by TLS, and
// whether the host has to prove its name.
type Policy int

// The policies. Certificate checks are by control/tlscas, or the authorities of the
// system; the name is that of the relay or of the mail exchanger.
const (
	May      Policy = iota // TLS where the server offers it and it works, else none; the certificate is not looked at
	None                   // no TLS
	Require                // TLS or no mail; the certificate is not looked at
	Verify                 // TLS or no mail, and a certificate for the host's name
	Implicit               // Verify, with TLS from the first byte (port 465, RFC 8314)
)

var policies = map[string]Policy{"may": May, "none": None, "require": Require, "verify": Verify, "implicit": Implicit}

// String is the word for the policy in control/tlsroutes.
func (p Policy) String() string {
	for word, policy := range policies {
		if policy == p {
			return word
		}
	}
	return "?"
}

// Insists reports whether mail must not go without TLS.
func (p Policy) Insists() bool { return p == Require || p.Checks() }

// Checks reports whether the host has to prove its name.
func (p Policy) Checks() bool { return p == Verify || p == Implicit }

// Policies is control/tlsroutes: by host, ending of a host (.example.net) or "" for all
// others, what is wanted.
type Policies map[string]Policy

// ParsePolicies reads lines HOST:POLICY. What cannot be read, and a host that can be
// nobody's, is an error: to guess might be to send in the clear what must not be.
func ParsePolicies(lines []string) (Policies, error) {
	all := make(Policies, len(lines))
	for _, line := range lines {
		end := strings.LastIndexByte(line, ':')
		host := strings.Trim(line[:max(end, 0)], " \t")
		policy, known := policies[mailaddr.Lower(strings.Trim(line[end+1:], " \t"))]
		colon := strings.Contains(host, ":") && host[0] != '[' // which is an IPv6 address
		if end < 0 || !known || colon || strings.ContainsAny(host, "* \t") {
			words := slices.Sorted(maps.Keys(policies))
			return nil, fmt.Errorf("control/tlsroutes: %q is not HOST:POLICY with one of %s", line, strings.Join(words, ", "))
		}
		all[mailaddr.Lower(strings.TrimSuffix(host, "."))] = policy
	}
	return all, nil
}

// Of returns what is wanted for mail to host by a route with that user, and the key of
// the line that says so. Lines are found as Route finds them, but that a dot at the end
// makes no other host: who writes an address must not choose how safe mail to it is.
// Without a line it is May;
// but a password is given to nobody without a proof of who that is, so for a route with
// a user it is Verify.
func (all Policies) Of(host, user string) (p Policy, key string, found bool) {
	if len(all) > 0 {
		for _, key := range append(mailaddr.Suffixes(strings.TrimSuffix(host, ".")), "") {
			if p, found := all[mailaddr.Lower(key)]; found {
				return p, key, true
			}
		}
	}
	if user != "" {
		return Verify, "", false
	}
	return May, "", false
}

// Secret is a line of control/remotesecrets, RELAY:USER:SECRET. The secret is
// everything behind the second colon.
type Secret struct{ Relay, User, Secret string }

// ParseSecret reads a line. A relay that is an IPv6 address stands in brackets.
func ParseSecret(line string) (s Secret, ok bool) {
	relay, rest, ok := cutPort(line)
	if !ok {
		return Secret{}, false
	}
	user, secret, ok := strings.Cut(rest, ":")
	return Secret{relay, user, secret}, ok && relay != "" && user != ""
}

// FindSecret returns the secret of the target's user at the target's host; of several
// lines for the same the last one counts. Capitals count in the user's name alone.
func FindSecret(lines []string, t Target) (secret string, ok bool) {
	for _, line := range lines {
		if s, well := ParseSecret(line); well && s.User == t.User && mailaddr.Lower(s.Relay) == mailaddr.Lower(t.Host) {
			secret, ok = s.Secret, true
		}
	}
	return secret, ok
}
