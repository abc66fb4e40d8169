package rfc822

import (
	"errors"
	"strings"
)

// ErrSyntax says that text is not an address list: a quoted string, comment or
// literal without an end, a bracket out of place, a group that is none.
var ErrSyntax = errors.New("syntax error in address list")

// Kind says what a token is. The special characters stand for themselves.
type Kind byte

// The kinds of token.
const (
	Atom    Kind = 'a' // a word without quotes
	Quoted  Kind = '"' // "text"
	Literal Kind = '[' // [text], in the place of a domain
	Comment Kind = '(' // (text)
	Left    Kind = '<'
	Right   Kind = '>'
	At      Kind = '@'
	Comma   Kind = ','
	Semi    Kind = ';'
	Colon   Kind = ':'
	Dot     Kind = '.'
)

// Token is a word, a comment or a special character. Text is what a word or
// comment means, without its delimiters and backslashes.
type Token struct {
	Kind Kind
	Text string
}

const (
	blanks   = " \t\r\n"
	specials = "<>@,;:."
	// atomEnd holds what ends an atom. A closing bracket does not.
	atomEnd = blanks + specials + `(["`
)

// Tokenize divides the text of a structured field into tokens.
func Tokenize(text string) ([]Token, error) {
	var tokens []Token
	for i := 0; i < len(text); {
		c := text[i]
		t, n := Token{}, 1
		switch {
		case strings.IndexByte(blanks, c) >= 0:
			i++
			continue
		case strings.IndexByte(specials, c) >= 0:
			t = Token{Kind: Kind(c)}
		case c == ')' || c == ']':
			return nil, ErrSyntax
		case c == '"':
			t, n = delimited(text[i:], Quoted, '"')
		case c == '[':
			t, n = delimited(text[i:], Literal, ']')
		case c == '(':
			t, n = comment(text[i:])
		default:
			t, n = atom(text[i:])
		}
		if n == 0 {
			return nil, ErrSyntax
		}
		tokens = append(tokens, t)
		i += n
	}
	return tokens, nil
}

// delimited reads a quoted string or literal and returns its length in s, or 0 if
// it has no end.
func delimited(s string, kind Kind, end byte) (Token, int) {
	var text []byte
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == end:
			return Token{kind, string(text)}, i + 1
		case s[i] == '\\':
			if i++; i == len(s) {
				return Token{}, 0
			}
		}
		text = append(text, s[i])
	}
	return Token{}, 0
}

// comment does the same for a comment. Comments nest; the inner parentheses are
// not part of the text.
func comment(s string) (Token, int) {
	var text []byte
	depth := 1
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
			continue
		case ')':
			if depth--; depth == 0 {
				return Token{Comment, string(text)}, i + 1
			}
			continue
		case '\\':
			if i++; i == len(s) {
				return Token{}, 0
			}
		}
		text = append(text, s[i])
	}
	return Token{}, 0
}

// atom reads a word up to white space or a special character. A backslash takes
// the next byte as it is; without one it is nothing.
func atom(s string) (Token, int) {
	i := strings.IndexAny(s, atomEnd+`\`)
	if i < 0 {
		i = len(s)
	}
	if i == len(s) || s[i] != '\\' {
		return word(s[:i]), i // the usual case shares the bytes of s
	}
	text := []byte(s[:i])
	for ; i < len(s) && strings.IndexByte(atomEnd, s[i]) < 0; i++ {
		if s[i] == '\\' {
			if i++; i == len(s) {
				break
			}
		}
		text = append(text, s[i])
	}
	return word(string(text)), i
}

// word returns the token for a word of that meaning: quoted if it has a byte that
// no atom may show, or none at all.
func word(text string) Token {
	if text == "" {
		return Token{Kind: Quoted}
	}
	for i := 0; i < len(text); i++ {
		if c := text[i]; c < 32 || c > 126 || c == ')' || c == ']' || c == '\\' {
			return Token{Quoted, text}
		}
	}
	return Token{Atom, text}
}

// hasText reports whether the token is a word or a comment.
func (t Token) hasText() bool {
	switch t.Kind {
	case Atom, Quoted, Literal, Comment:
		return true
	}
	return false
}

// Plain returns the token without quotes, as an envelope wants it.
func (t Token) Plain() string {
	switch t.Kind {
	case Atom, Quoted:
		return t.Text
	case Literal:
		return "[" + t.Text + "]"
	case Comment:
		return ""
	}
	return string(t.Kind)
}

// escape holds what is preceded by a backslash in every word and comment.
const escape = "\"[]()\\\r\n"

// String returns the token as it stands in a header.
//
// Differs from qmail: a line feed in a word is always followed by a blank, so that
// what is printed stays one field whatever the word was.
func (t Token) String() string { return string(t.appendTo(nil)) }

func (t Token) appendTo(dst []byte) []byte {
	if !t.hasText() {
		return append(dst, byte(t.Kind))
	}
	if t.Kind != Atom {
		dst = append(dst, byte(t.Kind))
	}
	for i := 0; i < len(t.Text); i++ {
		if strings.IndexByte(escape, t.Text[i]) >= 0 {
			dst = append(dst, '\\')
		}
		dst = append(dst, t.Text[i])
		if t.Text[i] == '\n' && (i+1 == len(t.Text) || t.Text[i+1] != ' ' && t.Text[i+1] != '\t') {
			dst = append(dst, ' ')
		}
	}
	switch t.Kind {
	case Quoted:
		dst = append(dst, '"')
	case Literal:
		dst = append(dst, ']')
	case Comment:
		dst = append(dst, ')')
	}
	return dst
}
