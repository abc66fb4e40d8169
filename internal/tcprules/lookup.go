package tcprules

import (
	"net/netip"
	"strings"

	"quail/internal/cdb"
)

// Peer is what is known of the other end of a connection.
type Peer struct {
	IP      string
	Host    string // the name of IP, if HasHost
	Info    string // the user there, if HasInfo
	HasHost bool
	HasInfo bool
}

// Decision is what the rules say about a connection.
type Decision struct {
	Matched bool   // whether there is a rule at all; without one, allow
	Rule    string // the address of the rule
	Deny    bool
	Env     []string // what to set, as NAME=VALUE, in order
}

// Lookup finds the one rule that decides about peer. After an error there is no
// decision, and the connection must not be served.
func Lookup(db *cdb.Reader, peer Peer) (Decision, error) {
	ip, err := netip.ParseAddr(peer.IP)
	if err == nil && ip.Is6() {
		// However it is written, and without the interface that it was met on.
		ip = ip.Unmap().WithZone("")
		peer.IP = ip.String()
	}
	found, err := first(db, peer.exact())
	if err != nil || found.Matched {
		return found, err
	}
	keys, err := networks(db, ip, peer.IP)
	if err != nil {
		return Decision{}, err
	}
	return first(db, append(keys, peer.rest()...))
}

// first returns the decision of the first of the rules that exists.
func first(db *cdb.Reader, rules []string) (Decision, error) {
	for _, rule := range rules {
		data, ok, err := db.Find(rule)
		if err != nil {
			return Decision{}, err
		}
		if ok {
			return decision(rule, string(data)), nil
		}
	}
	return Decision{}, nil
}

// exact lists the rules for just this peer, the strongest first.
func (p Peer) exact() (keys []string) {
	if p.HasInfo {
		keys = append(keys, p.Info+"@"+p.IP)
		if p.HasHost {
			keys = append(keys, p.Info+"@="+p.Host)
		}
	}
	keys = append(keys, p.IP)
	if p.HasHost {
		keys = append(keys, "="+p.Host)
	}
	return keys
}

// rest lists the rules by the endings of the peer's name, and those for everybody.
func (p Peer) rest() (keys []string) {
	if p.HasHost {
		for i := range len(p.Host) {
			if p.Host[i] == '.' {
				keys = append(keys, "="+p.Host[i:])
			}
		}
		keys = append(keys, "=")
	}
	return append(keys, "")
}

// decision reads the data of a record: items that each end in a zero byte. Items
// of other kinds, and an unfinished one, mean nothing.
func decision(rule, data string) Decision {
	d := Decision{Matched: true, Rule: rule}
	for {
		item, rest, ok := strings.Cut(data, "\x00")
		if !ok {
			return d
		}
		data = rest
		setting, set := strings.CutPrefix(item, "+")
		switch {
		case strings.HasPrefix(item, "D"):
			d.Deny = true
		case set && strings.Contains(setting, "="):
			d.Env = append(d.Env, setting)
		}
	}
}
