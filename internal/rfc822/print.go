package rfc822

import "strings"

// Width is how long a physical line of a printed field may be, its comma counted.
const Width = 78

// Print returns the field with that name and those tokens, ended by a line feed.
// It is broken into lines only after commas, and only where it must be: the first
// element of the list never leaves the name, and a long element is never divided.
//
// Differs from qmail: after a comma that ends a line which is too long nothing
// follows; qmail adds a line of one space there, which RFC 5322 section 3.2.2
// forbids.
func Print(name string, tokens []Token) string {
	var b strings.Builder
	b.WriteString(name + ":")
	column := b.Len()
	for first := true; len(tokens) > 0; first = false {
		var element string
		element, tokens = printElement(tokens)
		switch {
		case first || column+1+len(element) <= Width:
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

// printElement prints the tokens up to the first comma and returns the others.
func printElement(tokens []Token) (string, []Token) {
	end := len(tokens)
	for i, t := range tokens {
		if t.Kind == Comma {
			end = i + 1
			break
		}
	}
	return join(tokens[:end]), tokens[end:]
}

// join prints tokens on one line.
func join(tokens []Token) string {
	var b strings.Builder
	for i, t := range tokens {
		if i > 0 && spaced(tokens[i-1], t) {
			b.WriteByte(' ')
		}
		b.WriteString(t.String())
	}
	return b.String()
}

// spaced reports whether a space goes between two tokens.
func spaced(left, right Token) bool {
	switch {
	case left.Kind == Colon || left.Kind == Comma || right.Kind == Left:
		return true
	default:
		return (left.isWord() || left.Kind == Comment) && (right.isWord() || right.Kind == Comment)
	}
}
