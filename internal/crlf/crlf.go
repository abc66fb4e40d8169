// Package crlf changes the ends of lines between LF, as programs here have them, and
// CR LF, as they have to be in most protocols. See spec "Network", A3 and A6.
//
// Bytes come in pieces of any length, and what comes out does not depend on where they
// were divided. A last line without LF has no end, and is left alone.
package crlf

import "io"

// Rule says what is done at an LF.
type Rule int

const (
	Add    Rule = iota // a CR is put before every LF
	Fix                // before those that have none
	Remove             // a CR before the LF goes; one, if there are several
)

// Filter changes a stream of bytes by a Rule.
type Filter struct {
	rule Rule
	cr   bool // the last byte was a CR; Remove has held it back
}

// NewFilter returns a Filter at the beginning of its stream.
func NewFilter(rule Rule) *Filter { return &Filter{rule: rule} }

// Append appends to out what becomes of in, the next bytes of the stream.
func (f *Filter) Append(out, in []byte) []byte {
	for _, c := range in {
		switch {
		case f.rule == Remove && f.cr && c != '\n', f.rule == Add && c == '\n', f.rule == Fix && c == '\n' && !f.cr:
			out = append(out, '\r')
		}
		f.cr = c == '\r'
		if !f.cr || f.rule != Remove {
			out = append(out, c)
		}
	}
	return out
}

// End appends to out what is still due at the end of the stream.
func (f *Filter) End(out []byte) []byte {
	if f.rule == Remove && f.cr {
		out = append(out, '\r')
	}
	f.cr = false
	return out
}

// Copy copies a stream from r to w by a rule, writing whatever there is to write
// after each read.
func Copy(w io.Writer, r io.Reader, rule Rule) error {
	f := NewFilter(rule)
	in, out := make([]byte, 8192), make([]byte, 0, 2*8192)
	for {
		n, err := r.Read(in)
		out = f.Append(out[:0], in[:n])
		if err == io.EOF {
			out = f.End(out)
		}
		if len(out) > 0 {
			if _, err := w.Write(out); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
