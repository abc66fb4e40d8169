package tcprules

import (
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
	for _, key := range peer.keys() {
		data, ok, err := db.Find(key)
		if err != nil {
			return Decision{}, err
		}
		if ok {
			return decision(key, string(data)), nil
		}
	}
	return Decision{}, nil
}

// keys lists the addresses of the rules that can match, the strongest first.
func (p Peer) keys() []string {
	var keys []string
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
	// Networks, by the dots of their text: 1.2.3. before 1.2. before 1.
	for i := len(p.IP); i > 0; i-- {
		if p.IP[i-1] == '.' {
			keys = append(keys, p.IP[:i])
		}
	}
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
