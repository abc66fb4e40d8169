package forwarding

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"strings"

	"quail/internal/cdb"
	"quail/internal/maillist"
)

// SyntaxError says what is wrong with the text form of a database.
type SyntaxError struct{ text string }

func (e *SyntaxError) Error() string { return e.text }

var (
	errSemicolon = &SyntaxError{"final instruction must end with semicolon"}
	errColon     = &SyntaxError{"double colons are not permitted"}
	errComma     = &SyntaxError{"commas are not permitted before colons"}
	errNUL       = &SyntaxError{"NUL bytes are not permitted"}
	errTooLong   = &SyntaxError{"addresses over 800 bytes are not permitted"}
)

// Scan reads the text form and yields the records, in order. A record with an owner
// comes before that of the instruction it stands in. After an error there are no more;
// one that is no SyntaxError is of reading.
func Scan(r io.Reader) iter.Seq2[cdb.Record, error] {
	return func(yield func(cdb.Record, error) bool) {
		s := scanner{in: bufio.NewReader(r)}
		for {
			record, ok, err := s.record()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(cdb.Record{}, err)
				return
			}
			if ok && !yield(record, nil) {
				return
			}
		}
	}
}

// scanner is somewhere in an instruction: in its target as long as colon is false,
// else in a command.
type scanner struct {
	in      *bufio.Reader
	target  strings.Builder
	command strings.Builder
	colon   bool
	entries []maillist.Entry
}

// record reads on until there may be a record. The end of the text is io.EOF.
func (s *scanner) record() (r cdb.Record, ok bool, err error) {
	for {
		c, special, err := s.next()
		switch {
		case err == io.EOF && (s.colon || s.target.Len() > 0):
			return r, false, errSemicolon
		case err != nil:
			return r, false, err
		case special && c == ':':
			if s.colon {
				return r, false, errColon
			}
			s.colon = true
		case special:
			return s.end(c == ';')
		case c == 0:
			return r, false, errNUL
		case s.colon:
			s.command.WriteByte(c)
		default:
			s.target.WriteByte(c)
		}
	}
}

// next returns the next byte that has a meaning, and whether it is a mark: one that no
// backslash stands before.
func (s *scanner) next() (c byte, mark bool, err error) {
	for {
		if c, err = s.in.ReadByte(); err != nil {
			return 0, false, err
		}
		switch c {
		case ' ', '\t', '\n':
		case '#':
			for c != '\n' {
				if c, err = s.in.ReadByte(); err != nil {
					return 0, false, err
				}
			}
		case '\\':
			c, err = s.in.ReadByte()
			return c, false, err
		default:
			return c, c == ':' || c == ',' || c == ';', nil
		}
	}
}

// end ends a command, at a comma or at the end of its instruction. Of the two records
// that there may be then, an owner's is returned first.
func (s *scanner) end(instruction bool) (r cdb.Record, ok bool, err error) {
	if !s.colon {
		return r, false, errComma
	}
	command := s.command.String()
	s.command.Reset()
	if address, is := strings.CutPrefix(command, "?"); is {
		if instruction {
			s.in.UnreadByte() // the semicolon ends an empty command next time
		}
		return Owner(s.target.String(), address), true, nil
	}
	if command != "" {
		e := maillist.Entry(command)
		if !known(e) {
			e = "&" + e
		}
		if _, isAddress := e.Address(); isAddress && len(command) > maillist.MaxAddress {
			return r, false, errTooLong
		}
		s.entries = append(s.entries, e)
	}
	if !instruction {
		return r, false, nil
	}
	r, ok = Instructions(s.target.String(), s.entries...), len(s.entries) > 0
	s.target.Reset()
	s.colon, s.entries = false, nil
	return r, ok, nil
}

// Print returns a record in the text form.
func Print(r cdb.Record) (string, error) {
	if target, ok := strings.CutPrefix(r.Key, owner); ok {
		return fmt.Sprintf("%s: ?%s;\n", quote(target), quote(r.Value)), nil
	}
	target, ok := strings.CutPrefix(r.Key, instructions)
	entries, _, err := entriesOf([]byte(r.Value), ok, nil)
	if !ok || err != nil {
		return "", ErrFormat
	}
	var b strings.Builder
	b.WriteString(quote(target) + ":\n")
	for _, e := range entries {
		b.WriteString(", " + quote(string(e)) + "\n")
	}
	b.WriteString(";\n")
	return b.String(), nil
}

// quote puts a backslash before all that Scan would not take as it is, and before
// bytes from 128 on, as printforward 0.51 does where characters have signs.
func quote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 128 || strings.IndexByte(`,:;\#`, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
