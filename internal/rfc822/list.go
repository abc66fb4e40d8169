package rfc822

import "slices"

// List is what reading an address field gives.
type List struct {
	// Field is the field printed again, each address as rewritten, commas put
	// where the writer left a space instead.
	Field string
	// Addresses are the rewritten addresses, from right to left: that is the
	// order in which qmail-inject queues them.
	Addresses []Address
}

// ParseField reads a field that is an address list and passes each address to
// rewrite. The list is read from right to left, which is how "phrase <address>"
// and "name: members;" can be told from addresses without going back. The error is
// a FieldError; the Addresses found to the right of it are still there.
func ParseField(field string, rewrite func(Address) Address) (List, error) {
	name, value := Split(field)
	tokens, err := Tokenize(value)
	if err != nil {
		return List{}, &FieldError{field}
	}
	p := listParser{in: tokens, rewrite: rewrite}
	if p.run() != nil {
		return List{Addresses: p.found}, &FieldError{field}
	}
	slices.Reverse(p.out)
	return List{Field: Print(name, p.out), Addresses: p.found}, nil
}

// listParser walks through in from its end. What it puts into out and address is
// the wrong way round until the end.
type listParser struct {
	in      []Token // what has not been read yet
	out     []Token
	address Address // the address being read
	found   []Address
	rewrite func(Address) Address

	inGroup bool
	// joined says that a word may be added to the address: a dot, an at or
	// nothing is to the right of it. If not, the space there stands for a comma.
	joined bool
}

func (p *listParser) run() error {
	p.joined = true
	for len(p.in) > 0 {
		t := p.take()
		switch t.Kind {
		case Comment:
			p.out = append(p.out, t)
		case Comma:
			p.flush()
			p.out = append(p.out, t)
			p.joined = true
		case Semi:
			p.separate()
			if p.inGroup {
				return ErrSyntax
			}
			p.out = append(p.out, t)
			p.inGroup, p.joined = true, true
		case Colon:
			p.flush()
			if !p.inGroup {
				return ErrSyntax
			}
			p.out = append(p.out, t)
			p.groupName()
			p.inGroup, p.joined = false, true
		case Right:
			p.separate()
			p.out = append(p.out, t)
			if !p.route() {
				return ErrSyntax
			}
			p.joined = false
		case Atom, Quoted, Literal:
			if !p.joined {
				p.separate()
			}
			p.address = append(p.address, t)
			p.joined = false
		default:
			p.address = append(p.address, t)
			p.joined = true
		}
	}
	p.flush()
	return nil
}

// take removes the rightmost token of what is left.
func (p *listParser) take() Token {
	last := len(p.in) - 1
	t := p.in[last]
	p.in = p.in[:last]
	return t
}

// accept ends the address, which may be empty.
func (p *listParser) accept() {
	slices.Reverse(p.address)
	a := p.rewrite(p.address)
	p.address = nil
	p.found = append(p.found, a)
	for _, t := range slices.Backward(a) {
		p.out = append(p.out, t)
	}
}

// flush ends the address if there is one.
func (p *listParser) flush() {
	if len(p.address) > 0 {
		p.accept()
	}
}

// separate does the same, and puts a comma to its left.
func (p *listParser) separate() {
	if len(p.address) > 0 {
		p.accept()
		p.out = append(p.out, Token{Kind: Comma})
	}
}

// route reads the address to the left of a > up to the <, which it reports to
// have found, and then the phrase. Comments stay where they are in there.
func (p *listParser) route() bool {
	for {
		if len(p.in) == 0 {
			p.accept()
			return false
		}
		t := p.take()
		if t.Kind == Left {
			p.accept()
			p.out = append(p.out, t)
			p.phrase()
			return true
		}
		p.address = append(p.address, t)
	}
}

// phrase copies the words to the left of a <.
func (p *listParser) phrase() {
	for len(p.in) > 0 {
		switch p.in[len(p.in)-1].Kind {
		case Comment, Atom, Quoted, At, Dot:
			p.out = append(p.out, p.take())
		default:
			return
		}
	}
}

// groupName copies what is to the left of a group's colon, up to the next comma.
func (p *listParser) groupName() {
	for len(p.in) > 0 && p.in[len(p.in)-1].Kind != Comma {
		p.out = append(p.out, p.take())
	}
}
