package tcprules

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"quail/internal/cdb"
)

// Networks by length and IPv6 addresses came later than the rest of the language, and
// nothing that could match before has another meaning now:
//
//   - "10.0.0.0/9" was the address of a rule that no connection could meet. It is a
//     network now. Neither of that nor of an IPv6 address is there a second spelling in
//     the database: keys are as package netip writes them.
//   - The colons of an IPv6 address made a line a mistake, since the first colon of a
//     line ends the address. What is a rule by that still is one; only what is none is
//     read again.
//   - An index tells which lengths there are, so that a connection costs a search for
//     each of these and not for 129. It is in the database only if there are any, under
//     keys with a line feed, which no line of text can make.

// numeric reports whether an address can only have been meant for an IPv4 network.
func numeric(address string) bool {
	return strings.Index(address, "/") > 0 && strings.Trim(address, "0123456789./") == ""
}

// network returns the key of ADDRESS/LENGTH.
func network(address string) (key string, err error) {
	prefix, err := netip.ParsePrefix(address)
	if err != nil {
		return "", errors.New(address + " is not a whole address, / and a number of bits")
	}
	if ip := prefix.Addr(); ip.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(ip.Unmap(), prefix.Bits()-96)
	}
	if masked := prefix.Masked(); masked != prefix {
		return "", fmt.Errorf("%s has bits set behind its length: the network is %s", address, masked)
	}
	return prefix.String(), nil
}

// parse6 reads "ADDRESS:INSTRUCTIONS" where ADDRESS is an IPv6 address, perhaps behind
// USER@, or a network of them.
func parse6(line string) (address, data string, ok bool, err error) {
	for i := range len(line) {
		if line[i] != ':' {
			continue
		}
		if data, ok = compile(line[i+1:]); !ok {
			continue
		}
		before, _, isNetwork := strings.Cut(line[:i], "/")
		at := strings.LastIndexByte(before, '@') + 1
		ip, notAddress := netip.ParseAddr(before[at:])
		switch {
		case notAddress != nil || !ip.Is6() || ip.Zone() != "":
		case !isNetwork:
			return before[:at] + ip.Unmap().String(), data, true, nil
		case at == 0:
			address, err = network(line[:i])
			return address, data, err == nil, err
		}
	}
	return "", "", false, nil
}

// index collects the lengths of the networks that there are rules for, IPv4 and IPv6.
type index [2][]byte

// indexKeys are those of its two records. A value has a byte for each length, the
// longest first.
var indexKeys = [2]string{"/4\n", "/6\n"}

func family(ip netip.Addr) int {
	if ip.Is4() {
		return 0
	}
	return 1
}

// add notes the address of a rule.
func (x *index) add(address string) {
	prefix, err := netip.ParsePrefix(address)
	if err != nil {
		return // not one of a network
	}
	lengths := &x[family(prefix.Addr())]
	if length := byte(prefix.Bits()); !slices.Contains(*lengths, length) {
		*lengths = append(*lengths, length)
	}
}

func (x *index) records() (records []cdb.Record) {
	for f, lengths := range x {
		if len(lengths) > 0 {
			slices.Sort(lengths)
			slices.Reverse(lengths)
			records = append(records, cdb.Record{Key: indexKeys[f], Value: string(lengths)})
		}
	}
	return records
}

// networks lists the addresses of rules for the networks that ip is in, the longest
// first; text is how the connection has it. Those by dots (1.2.3. before 1.2. before
// 1.) are taken from any text, and come before others of their length.
func networks(db *cdb.Reader, ip netip.Addr, text string) (keys []string, err error) {
	for i := len(text); i > 0; i-- {
		if text[i-1] == '.' {
			keys = append(keys, text[:i])
		}
	}
	if !ip.IsValid() {
		return keys, nil
	}
	lengths, _, err := db.Find(indexKeys[family(ip)])
	if err != nil || len(lengths) == 0 {
		return keys, err
	}
	dotted, keys := keys, nil
	for i, length := range lengths {
		prefix, err := ip.Prefix(int(length))
		if err != nil || i > 0 && length >= lengths[i-1] {
			return nil, cdb.ErrFormat
		}
		for len(dotted) > 0 && 8*strings.Count(dotted[0], ".") >= int(length) {
			keys, dotted = append(keys, dotted[0]), dotted[1:]
		}
		keys = append(keys, prefix.String())
	}
	return append(keys, dotted...), nil
}
