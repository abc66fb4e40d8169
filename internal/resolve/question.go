package resolve

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"quail/internal/mailaddr"
)

// Reasons for not believing an answer.
var (
	errMalformed = errors.New("malformed answer")
	errAliases   = errors.New("too many aliases")
	errBadName   = errors.New("not a domain name")
)

// question is one query: its bytes, and what an answer has to repeat.
type question struct {
	wire  []byte
	id    uint16
	name  string // canonical: lower case, escaped one way only, final dot
	qtype uint16
}

// newQuestion makes the query for records of type qtype. A name that cannot be
// written in a query, because a label is empty or too long, is an error.
func newQuestion(name string, qtype uint16) (question, error) {
	var m dns.Msg
	m.SetQuestion(dns.Fqdn(name), qtype) // a random id and recursion desired
	wire, err := m.Pack()
	if err != nil {
		return question{}, fmt.Errorf("%w: %w", errBadName, err)
	}
	// Read it back: whatever way the name was written, this is the way in which
	// the answer will show it.
	var canonical dns.Msg
	if err := canonical.Unpack(wire); err != nil || len(canonical.Question) != 1 {
		return question{}, errBadName
	}
	return question{wire, m.Id, mailaddr.Lower(canonical.Question[0].Name), qtype}, nil
}

// mine reports whether packet claims to answer this very query. Others are
// forgeries or late answers to something else, and are not looked at.
func (q question) mine(packet []byte) bool {
	const header, response = 12, 0x80
	if len(packet) < header || binary.BigEndian.Uint16(packet) != q.id || packet[2]&response == 0 {
		return false
	}
	if binary.BigEndian.Uint16(packet[4:]) == 0 && packet[3]&0x0f != 0 {
		return true // a refusal need not repeat the question
	}
	name, off, err := dns.UnpackDomainName(packet, header)
	return err == nil && mailaddr.Lower(name) == q.name && len(packet) >= off+4 &&
		binary.BigEndian.Uint16(packet[off:]) == q.qtype &&
		binary.BigEndian.Uint16(packet[off+2:]) == dns.ClassINET
}

// parse reads an answer. The library takes one that stops early for a shorter
// one, which would turn a cut answer into a denial, so the count is compared.
func parse(packet []byte) (*dns.Msg, error) {
	var m dns.Msg
	if err := m.Unpack(packet); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if len(m.Answer) != int(binary.BigEndian.Uint16(packet[6:])) {
		return nil, errMalformed
	}
	return &m, nil
}

// answers returns the records of the type asked for, under the name asked for or
// the one its aliases lead to within this answer.
func (q question) answers(m *dns.Msg) ([]dns.RR, error) {
	aliases := make(map[string]string)
	for _, rr := range m.Answer {
		if c, ok := rr.(*dns.CNAME); ok {
			aliases[mailaddr.Lower(c.Hdr.Name)] = mailaddr.Lower(c.Target)
		}
	}
	name := q.name
	for n := 0; aliases[name] != ""; n++ {
		if n == maxAliases {
			return nil, errAliases
		}
		name = aliases[name]
	}
	var records []dns.RR
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Rrtype != q.qtype || h.Class != dns.ClassINET || mailaddr.Lower(h.Name) != name {
			continue
		}
		if empty(rr) {
			return nil, errMalformed
		}
		records = append(records, rr)
	}
	return records, nil
}

// empty reports whether a record has no data, which the library lets pass.
func empty(rr dns.RR) bool {
	switch rr := rr.(type) {
	case *dns.MX:
		return rr.Mx == ""
	case *dns.TXT:
		return len(rr.Txt) == 0
	}
	_, ok := address(rr)
	return !ok
}
