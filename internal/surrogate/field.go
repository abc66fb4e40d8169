package surrogate

import (
	"fmt"
	"mime"
	"slices"
	"strings"

	"quail/internal/mailaddr"
	"quail/internal/rfc822"
)

// nowhere is the address in place of one that cannot be written: RFC 6858, section 2.1.
const nowhere = "<invalid@internationalized-address.invalid>"

// Fields that hold addresses, and those that hold text. So does each that begins with
// X-.
var (
	addressFields = strings.Fields("from sender reply-to to cc bcc resent-from resent-sender resent-to resent-cc resent-bcc resent-reply-to")
	textFields    = strings.Fields("subject comments content-description thread-topic")
)

// translate returns a field in ASCII, or nothing if there is no such field. What only
// stands where a field should is nobody's to change.
func translate(field string) string {
	name, value := rfc822.Split(field)
	if foreign(name) || strings.ContainsAny(name, " \t") || !strings.Contains(field, ":") {
		return field
	}
	lower := mailaddr.Lower(name)
	value = strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(value))
	switch {
	case slices.Contains(addressFields, lower):
		value = addresses(value)
	case slices.Contains(textFields, lower), strings.HasPrefix(lower, "x-"):
		value = encoded(value)
	case lower == "content-type", lower == "content-disposition":
		value = parameters(value)
	default:
		return ""
	}
	return name + ": " + value + "\n"
}

// encoded returns text as encoded words of RFC 2047, one on a line.
func encoded(text string) string {
	return strings.ReplaceAll(mime.BEncoding.Encode("utf-8", text), " ", "\n ")
}

// addresses returns a list of addresses, each with its commas. A list that makes no
// sense is taken for the name of nobody.
func addresses(list string) string {
	tokens, err := rfc822.Tokenize(list)
	if err != nil {
		return encoded(list) + "\n " + nowhere
	}
	var out strings.Builder
	for len(tokens) > 0 {
		n := slices.IndexFunc(tokens, func(t rfc822.Token) bool {
			return t.Kind == rfc822.Comma || t.Kind == rfc822.Semi || t.Kind == rfc822.Colon || t.Kind == rfc822.Left
		})
		if n >= 0 && tokens[n].Kind == rfc822.Left {
			if end := slices.IndexFunc(tokens[n:], func(t rfc822.Token) bool { return t.Kind == rfc822.Right }); end >= 0 {
				out.WriteString(named(tokens[:n], tokens[n+1:n+end]))
				tokens = tokens[n+end+1:]
				continue
			}
		}
		if n < 0 {
			n = len(tokens)
		}
		if n < len(tokens) && tokens[n].Kind == rfc822.Colon {
			out.WriteString(phrase(tokens[:n]))
		} else {
			out.WriteString(named(nil, tokens[:n]))
		}
		if n < len(tokens) {
			out.WriteString(tokens[n].String())
			out.WriteString("\n ")
			n++
		}
		tokens = tokens[n:]
	}
	return strings.TrimRight(out.String(), " \n")
}

// named returns one address with its name.
func named(name, address []rfc822.Token) string {
	var plain strings.Builder
	for _, t := range address {
		plain.WriteString(t.Plain())
	}
	switch {
	case foreign(plain.String()) && len(name) == 0:
		return encoded(plain.String()) + "\n " + nowhere
	case foreign(plain.String()):
		return encoded(words(name)+" <"+plain.String()+">") + "\n " + nowhere
	case len(name) == 0:
		return join(address, "")
	}
	return phrase(name) + " <" + join(address, "") + ">"
}

// phrase returns the words of a name.
func phrase(name []rfc822.Token) string {
	if text := words(name); foreign(text) {
		return encoded(text)
	}
	return join(name, " ")
}

// words returns what a name means.
func words(name []rfc822.Token) string {
	var all []string
	for _, t := range name {
		if t.Kind != rfc822.Comment {
			all = append(all, t.Plain())
		}
	}
	return strings.Join(all, " ")
}

// join returns tokens as they stand in a header, without comments that are not ASCII.
func join(tokens []rfc822.Token, between string) string {
	var all []string
	for _, t := range tokens {
		if s := t.String(); !foreign(s) {
			all = append(all, s)
		}
	}
	return strings.Join(all, between)
}

// parameters returns the value of a MIME field with what is not ASCII in its parameters
// encoded as RFC 2231 has it.
func parameters(value string) string {
	var out []string
	for i, part := range divide(value) {
		if foreign(part) {
			name, text, ok := strings.Cut(part, "=")
			if i == 0 || !ok || foreign(name) {
				continue
			}
			part = " " + strings.TrimSpace(name) + "*=utf-8''" + percent(unquote(strings.TrimSpace(text)))
		}
		out = append(out, part)
	}
	return strings.TrimSpace(strings.Join(out, ";"))
}

// divide divides a value at its semicolons, but for those in quotes.
func divide(value string) (parts []string) {
	start, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ';' && !quoted:
			parts = append(parts, value[start:i])
			start = i + 1
		}
	}
	return append(parts, value[start:])
}

// unquote returns what a word means, which may be a quoted string.
func unquote(word string) string {
	if !strings.HasPrefix(word, `"`) {
		return word
	}
	var out []byte
	for i := 1; i < len(word) && word[i] != '"'; i++ {
		if word[i] == '\\' && i+1 < len(word) {
			i++
		}
		out = append(out, word[i])
	}
	return string(out)
}

// percent writes bytes that are not letters or digits in hexadecimal.
func percent(text string) string {
	var out strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
			out.WriteByte(c)
		default:
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}

// look notes what a field says of the body.
func (k *kind) look(field string) {
	name, value := rfc822.Split(field)
	if mailaddr.Lower(name) != "content-type" {
		return
	}
	*k = kind{}
	parts := divide(strings.NewReplacer("\r", "", "\n", "").Replace(value))
	switch media := mailaddr.Lower(strings.TrimSpace(parts[0])); {
	case media == "message/rfc822", media == "message/global":
		k.message = true
	case strings.HasPrefix(media, "multipart/"):
		for _, part := range parts[1:] {
			if name, text, _ := strings.Cut(part, "="); mailaddr.Lower(strings.TrimSpace(name)) == "boundary" {
				k.boundary = strings.TrimRight(unquote(strings.TrimSpace(text)), " \t")
			}
		}
	}
}
