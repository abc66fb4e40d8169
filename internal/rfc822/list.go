package rfc822

import "slices"

// ParseField reads a field that is an address list and returns it printed again.
// Each address is passed to visit and stands in the result as visit returns it;
// visit may change its argument and must not keep it. Commas are put where the
// writer left a space instead.
//
// The list is read from right to left, which is how "phrase <address>" and "name:
// members;" can be told from addresses without going back, and in that order visit
// sees the addresses. The error is a FieldError; by then visit has seen those that
// stand to the right of it.
func ParseField(field string, visit func(Address) Address) (string, error) {
	name, value := Split(field)
	tokens, err := Tokenize(value)
	if err != nil {
		return "", &FieldError{field}
	}
	p := listParser{in: tokens, visit: visit, address: make(Address, 0, roomy)}
	if p.run() != nil {
		return "", &FieldError{field}
	}
	return p.out.field(name), nil
}

// roomy is how many tokens an address has at most as a rule, once completed: one
// that does not make visit ask for memory.
const roomy = 64

// listParser walks through in from its end.
type listParser struct {
	in      []Token // what has not been read yet
	out     printer
	address Address // the address being read, the wrong way round
	visit   func(Address) Address

	inGroup bool
	// joined says that a word may be added to the address: a dot, an at or
	// nothing is to the right of it. If not, the space there stands for a comma.
	joined bool
}

func (p *listParser) run() error {
	p.joined = true
	for len(p.in) > 0 {
		if err := p.token(p.take()); err != nil {
			return err
		}
	}
	p.flush()
	return nil
}

// token goes one token to the left, or further if the token begins a group name or
// an address in angle brackets.
func (p *listParser) token(t Token) error {
	switch t.Kind {
	case Comment:
		p.out.put(t)
	case Comma:
		p.flush()
		p.out.put(t)
		p.joined = true
	case Semi:
		p.separate()
		if p.inGroup {
			return ErrSyntax
		}
		p.out.put(t)
		p.inGroup, p.joined = true, true
	case Colon:
		p.flush()
		if !p.inGroup {
			return ErrSyntax
		}
		p.out.put(t)
		p.groupName()
		p.inGroup, p.joined = false, true
	case Right:
		p.separate()
		p.out.put(t)
		p.joined = false
		return p.route()
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
	for _, t := range slices.Backward(p.visit(p.address)) {
		p.out.put(t)
	}
	p.address = p.address[:0]
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
		p.out.put(Token{Kind: Comma})
	}
}

// route reads the address to the left of a > up to the <, and then the phrase.
// Comments stay where they are in there. A > without < is an error, found only
// after the address.
func (p *listParser) route() error {
	for len(p.in) > 0 {
		t := p.take()
		if t.Kind == Left {
			p.accept()
			p.out.put(t)
			p.phrase()
			return nil
		}
		p.address = append(p.address, t)
	}
	p.accept()
	return ErrSyntax
}

// phrase copies the words to the left of a <.
func (p *listParser) phrase() {
	for len(p.in) > 0 {
		switch p.in[len(p.in)-1].Kind {
		case Comment, Atom, Quoted, At, Dot:
			p.out.put(p.take())
		default:
			return
		}
	}
}

// groupName copies what is to the left of a group's colon, up to the next comma.
func (p *listParser) groupName() {
	for len(p.in) > 0 && p.in[len(p.in)-1].Kind != Comma {
		p.out.put(p.take())
	}
}
