package rfc822

import (
	"slices"
	"strings"
)

// Width is how long a physical line of a printed field may be, its comma counted.
const Width = 78

// printer takes the tokens of a list from right to left and prints the field. It
// keeps text, not tokens: a list may have millions of them.
type printer struct {
	element []Token // the element at work on, the wrong way round
	done    []string
	scratch []byte
}

// put adds a token to the left of what is there. A comma is the end of the element
// to its left.
func (p *printer) put(t Token) {
	if t.Kind == Comma {
		p.finish()
	}
	p.element = append(p.element, t)
}

// finish prints an element of the list.
func (p *printer) finish() {
	slices.Reverse(p.element)
	p.scratch = appendTokens(p.scratch[:0], p.element)
	p.done = append(p.done, string(p.scratch))
	p.element = p.element[:0]
}

// field returns the field with that name, ended by a line feed. It is broken into
// lines only after commas, and only where it must be: the first element never
// leaves the name, and a long element is never divided.
//
// Differs from qmail: after a comma that ends a line which is too long nothing
// follows; qmail adds a line of one space there, which RFC 5322 section 3.2.2
// forbids.
func (p *printer) field(name string) string {
	p.finish()
	var b strings.Builder
	b.WriteString(name + ":")
	column := b.Len()
	for i, element := range slices.Backward(p.done) {
		switch {
		case element == "": // nothing, or nothing after the last comma
			continue
		case i == len(p.done)-1 || column+1+len(element) <= Width:
			b.WriteString(" ")
			column++
		default:
			b.WriteString("\n  ")
			column = 2
		}
		b.WriteString(element)
		column += len(element)
	}
	b.WriteByte('\n')
	return b.String()
}

// appendTokens prints tokens on one line.
func appendTokens(dst []byte, tokens []Token) []byte {
	for i, t := range tokens {
		if i > 0 && spaced(tokens[i-1], t) {
			dst = append(dst, ' ')
		}
		dst = t.appendTo(dst)
	}
	return dst
}

// spaced reports whether a space goes between two tokens.
func spaced(left, right Token) bool {
	switch {
	case left.Kind == Colon || left.Kind == Comma || right.Kind == Left:
		return true
	default:
		return left.hasText() && right.hasText()
	}
}
