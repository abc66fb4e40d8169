package rfc822

import (
	"slices"
	"strings"

	"quail/internal/mailaddr"
)

// Address is one address as its tokens. Comments are set apart, save those that
// stood between angle brackets.
type Address []Token

// ParseAddress reads an address in envelope form: everything up to the last @ is
// taken literally, what follows is a domain in header form.
func ParseAddress(envelope string) (Address, error) {
	tokens, err := Tokenize(mailaddr.Quote(envelope))
	return Address(tokens), err
}

// Envelope returns the address without quotes and comments. One with a NUL or a
// line feed is a syntax error: it could end a record or a line somewhere else.
func (a Address) Envelope() (string, error) {
	var b strings.Builder
	for _, t := range a {
		b.WriteString(t.Plain())
	}
	if strings.ContainsAny(b.String(), "\x00\n") {
		return "", ErrSyntax
	}
	return b.String(), nil
}

// String returns the address as a header shows it, on one line.
func (a Address) String() string { return string(appendTokens(nil, a)) }

// Names completes addresses. A part may have several words and dots, so each is
// kept as the tokens that are appended, its separator first.
type Names struct {
	host   []Token // to an address without @
	domain []Token // to a host without dot
	plus   []Token // to a host that ends in +
}

// NewNames returns the Names with a default host, a default domain and the domain
// that stands for a plus.
func NewNames(host, domain, plus string) (n Names, err error) {
	for _, part := range []struct {
		tokens *[]Token
		text   string
	}{{&n.domain, "." + domain}, {&n.host, "@" + host}, {&n.plus, "." + plus}} {
		if *part.tokens, err = Tokenize(part.text); err != nil {
			return Names{}, &FieldError{part.text}
		}
	}
	return n, nil
}

// FieldError says which text is not an address list.
type FieldError struct{ Text string }

func (e *FieldError) Error() string {
	return "unable to parse this line:\n" + strings.TrimSuffix(e.Text, "\n")
}
func (e *FieldError) Unwrap() error { return ErrSyntax }

// Rewrite completes an address. The steps are those of spec "Local injection",
// section 6, in that order. It may use the memory of a.
func (n Names) Rewrite(a Address) Address {
	// 0. An address at [] is nobody's: double bounces and VERPs live there.
	last := len(a) - 1
	if last < 0 || last > 0 && a[last] == (Token{Kind: Literal}) && a[last-1].Kind == At {
		return a
	}
	// 1. A source route has no say in where mail goes.
	if a[0].Kind == At {
		a = a[indexOrEnd(a, Colon):]
	}
	// 2, 3. Nor have a trailing dot and a trailing @.
	for _, useless := range []Kind{Dot, At} {
		if len(a) > 0 && a[len(a)-1].Kind == useless {
			a = a[:len(a)-1]
		}
	}
	if len(a) == 0 {
		return a
	}
	// 4. No host.
	if !slices.ContainsFunc(a, func(t Token) bool { return t.Kind == At }) {
		a = append(a, n.host...)
	}
	// 5. A plus stands for a domain.
	if t := &a[len(a)-1]; t.Kind == Atom && strings.HasSuffix(t.Text, "+") {
		t.Text = strings.TrimSuffix(t.Text, "+")
		a = append(a, n.plus...)
	}
	// 6. No domain.
	for i := len(a) - 1; i >= 0 && a[i].Kind != At; i-- {
		if a[i].Kind == Dot || a[i].Kind == Literal {
			return a
		}
	}
	return append(a, n.domain...)
}

// indexOrEnd returns the place after the first token of that kind, or the end.
func indexOrEnd(a Address, kind Kind) int {
	for i, t := range a {
		if t.Kind == kind {
			return i + 1
		}
	}
	return len(a)
}
