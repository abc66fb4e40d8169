// Package aliases reads the lists of addresses in Sendmail's files, .forward, :include:
// files and /etc/aliases, in the dialect of dot-forward 0.71 and fastforward 0.51. See
// their manual pages, dot-forward(1) and newaliases(1).
//
// Addresses are those of a header, package rfc822: comments, quotes, and an address in
// angle brackets after any words. There are no groups, so that semicolons and colons
// only divide. An address without @ that begins with | is a program, one that begins
// with / a file, which is refused; :include:name is a list of more.
//
// The files belong to users or the administrator. Whoever reads one has the rights of
// its owner or is asked to by him; the worst that bytes may do is to be refused.
package aliases

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"quail/internal/ascii"
	"quail/internal/mailaddr"
	"quail/internal/rfc822"
)

// ErrSyntax says that a line is not a list of addresses.
var ErrSyntax = errors.New("unable to parse this line")

// Item is one element of a list: an address or program as it stands there, not
// completed, or an :include:.
type Item struct {
	Text     string // without quotes and comments; for an :include: the file name
	Host     bool   // an @ stands outside quotes
	Included bool
}

// Program returns the shell command of an item that is one.
func (i Item) Program() (command string, ok bool) {
	if i.Host || i.Included {
		return "", false
	}
	return strings.CutPrefix(i.Text, "|")
}

// Check refuses what no list may hold: a NUL, which would end a record somewhere else,
// and the name of a file to deliver to.
func (i Item) Check() error {
	switch {
	case strings.Contains(i.Text, "\x00"):
		return errors.New("NUL not permitted in addresses, programs and filenames")
	case !i.Host && !i.Included && strings.HasPrefix(i.Text, "/"):
		return fmt.Errorf("file delivery %s not supported", shown(i.Text))
	}
	return nil
}

// Names completes addresses, see qmail-header(5).
type Names struct{ Host, Domain, Plus string }

// Complete returns the address of an item that is one, with a host and a domain.
//
// Differs from qmail: an @ at the end is followed by the default host everywhere.
// dot-forward and newinclude put only a domain there, where no mail can go.
func (n Names) Complete(i Item) string {
	address := i.Text
	if !i.Host {
		address += "@"
	}
	if strings.HasSuffix(address, "@") {
		address += n.Host
	}
	if rest, ok := strings.CutSuffix(address, "+"); ok {
		address = rest + "." + n.Plus
	}
	if _, host, _ := mailaddr.Split(address); !strings.Contains(host, ".") {
		address += "." + n.Domain
	}
	return address
}

// Parse returns the items of a line, the last one first: lists are read from right to
// left, as headers are.
func Parse(line string) ([]Item, error) {
	tokens, err := rfc822.Tokenize(line)
	if err != nil {
		return nil, syntaxError(line)
	}
	p := parser{in: tokens, joined: true}
	for len(p.in) > 0 {
		if err := p.token(p.take()); err != nil {
			return nil, syntaxError(line)
		}
	}
	p.flush()
	return p.items, nil
}

func syntaxError(line string) error {
	return fmt.Errorf("%w: %s", ErrSyntax, shown(strings.TrimRight(line, "\n")))
}

// shown is text of a file in a message, which is read on a terminal as well.
func shown(text string) string { return ascii.Printable(text, '?') }

// parser walks through in from its end.
type parser struct {
	in      []rfc822.Token // what has not been read yet
	items   []Item
	address rfc822.Address // being read, the wrong way round
	// joined says that a word may be added to the address: a dot, an at or nothing is
	// to the right of it. If not, the space there divides.
	joined bool
}

func (p *parser) take() rfc822.Token {
	last := len(p.in) - 1
	t := p.in[last]
	p.in = p.in[:last]
	return t
}

func (p *parser) token(t rfc822.Token) error {
	switch t.Kind {
	case rfc822.Comment, rfc822.Semi:
	case rfc822.Colon:
		if n := len(p.in); n >= 2 && p.in[n-2].Kind == rfc822.Colon && p.in[n-1] == (rfc822.Token{Kind: rfc822.Atom, Text: "include"}) {
			p.accept(true)
			p.in = p.in[:n-2]
		}
	case rfc822.Right:
		p.joined = false
		return p.route()
	case rfc822.Atom, rfc822.Quoted, rfc822.Literal:
		if !p.joined && !p.bar(t) {
			p.flush()
		}
		p.address = append(p.address, t)
		p.joined = false
	case rfc822.Comma:
		p.flush()
		p.joined = true
	default:
		p.address = append(p.address, t)
		p.joined = true
	}
	return nil
}

// bar reports whether t and the address so far are a bar and a quoted command.
//
// Differs from qmail: there they are two addresses, of which one is the command. Users
// of Sendmail write it so as often as with the quotes around both.
func (p *parser) bar(t rfc822.Token) bool {
	return t == (rfc822.Token{Kind: rfc822.Atom, Text: "|"}) && len(p.address) == 1 && p.address[0].Kind == rfc822.Quoted
}

// route reads the address to the left of a > up to the <, and passes over the words
// before that.
func (p *parser) route() error {
	p.flush()
	for len(p.in) > 0 && p.in[len(p.in)-1].Kind != rfc822.Left {
		p.address = append(p.address, p.take())
	}
	if len(p.in) == 0 {
		return ErrSyntax
	}
	p.take()
	p.accept(false)
	for len(p.in) > 0 {
		switch p.in[len(p.in)-1].Kind {
		case rfc822.Comment, rfc822.Atom, rfc822.Quoted, rfc822.At, rfc822.Dot:
			p.take()
		default:
			return nil
		}
	}
	return nil
}

func (p *parser) flush() {
	if len(p.address) > 0 {
		p.accept(false)
	}
}

// accept ends an item, whose text may be empty.
func (p *parser) accept(included bool) {
	slices.Reverse(p.address)
	var text strings.Builder
	host := false
	for _, t := range p.address {
		text.WriteString(t.Plain())
		host = host || t.Kind == rfc822.At
	}
	p.items = append(p.items, Item{Text: text.String(), Host: host, Included: included})
	p.address = p.address[:0]
}
