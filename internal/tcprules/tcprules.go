// Package tcprules is the language in which an administrator says which hosts may
// connect and with what environment: the text that tcprules compiles, and the
// database in which tcpserver looks a connection up. See spec "Network and
// supervision tools", A2, and network.go for what has been added to that.
//
// The text and the database are the administrator's; the host name and the user
// name of a connection are the peer's to choose, and none of them can make a
// lookup fail or match another form of rule than its own.
//
// Differs from qmail: ADDRESS/LENGTH is a network, and an IPv6 address may stand where
// an IPv4 one may. Rules without these make the same database as ever.
package tcprules

import (
	"bufio"
	"io"
	"iter"
	"strconv"
	"strings"

	"quail/internal/cdb"
)

// SyntaxError says which line of the text is no rule.
type SyntaxError struct {
	Line   string
	Reason error // what is wrong with its address, if that is a network
}

func (e *SyntaxError) Error() string {
	if e.Reason != nil {
		return "unable to parse this line: " + e.Line + ": " + e.Reason.Error()
	}
	return "unable to parse this line: " + e.Line
}

// Rules returns the records that the rules in text stand for, in order. An error
// ends the sequence: a *SyntaxError, or that of reading.
func Rules(text io.Reader) iter.Seq2[cdb.Record, error] {
	return func(yield func(cdb.Record, error) bool) {
		var lengths index
		lines := bufio.NewReader(text)
		for {
			line, err := lines.ReadString('\n')
			if err != nil && err != io.EOF {
				yield(cdb.Record{}, err)
				return
			}
			addresses, data, wrong := parse(strings.TrimRight(line, " \t\n"))
			if wrong != nil {
				yield(cdb.Record{}, wrong)
				return
			}
			for _, address := range addresses {
				lengths.add(address)
				if !yield(cdb.Record{Key: address, Value: data}, nil) {
					return
				}
			}
			if err == io.EOF {
				break
			}
		}
		for _, record := range lengths.records() {
			if !yield(record, nil) {
				return
			}
		}
	}
}

// parse reads "ADDRESS:INSTRUCTIONS". Comments and lines without a colon stand
// for no record at all.
func parse(line string) (addresses []string, data string, err error) {
	address, instructions, ok := strings.Cut(line, ":")
	if !ok || line[0] == '#' {
		return nil, "", nil
	}
	if data, ok = compile(instructions); ok {
		addresses, ok = expand(address)
	}
	if !ok {
		if address, data, ok, err = parse6(line); !ok {
			return nil, "", &SyntaxError{line, err}
		}
		return []string{address}, data, nil
	}
	for i, address := range addresses {
		if !numeric(address) {
			continue
		}
		if addresses[i], err = network(address); err != nil {
			return nil, "", &SyntaxError{line, err}
		}
	}
	return addresses, data, nil
}

// compile turns "allow" or "deny", followed by any number of ,NAME=QVALUEQ where Q
// is any byte that is not in VALUE, into the data of a record.
func compile(instructions string) (data string, ok bool) {
	rest, deny := strings.CutPrefix(instructions, "deny")
	if deny {
		data = "D\x00"
	} else if rest, ok = strings.CutPrefix(instructions, "allow"); !ok {
		return "", false
	}
	for rest != "" {
		name, quoted, ok := strings.Cut(rest, "=")
		if !ok || name == "" || name[0] != ',' || quoted == "" {
			return "", false
		}
		value, after, ok := strings.Cut(quoted[1:], quoted[:1])
		if !ok {
			return "", false
		}
		data += "+" + name[1:] + "=" + value + "\x00"
		rest = after
	}
	return data, true
}

// expand returns the addresses that an address with a range such as 1.2.3.4-7
// stands for. Names and users (= and @) may contain a dash, so there are no ranges
// in those.
func expand(address string) (addresses []string, ok bool) {
	left, right, ranged := strings.Cut(address, "-")
	if !ranged || strings.ContainsAny(address, "=@") {
		return []string{address}, true
	}
	low := strings.LastIndexByte(left, '.') + 1
	high := len(right)
	if dot := strings.IndexByte(right, '.'); dot >= 0 {
		high = dot
	}
	from, ok1 := number(left[low:])
	to, ok2 := number(right[:high])
	for n := from; n <= min(to, 255); n++ {
		addresses = append(addresses, left[:low]+strconv.FormatUint(n, 10)+right[high:])
	}
	return addresses, ok1 && ok2
}

// number reads the bound of a range; none at all is 0. One that is too large for
// any address may be any such number.
func number(s string) (n uint64, ok bool) {
	if strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, _ = strconv.ParseUint(s, 10, 64) // the largest there is, if out of range
	return n, true
}
