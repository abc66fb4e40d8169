package smtpd

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"quail/internal/mailaddr"
	"quail/internal/received"
)

// completion adds to a message what a client that submits it has left out: Date,
// Message-ID and From, see RFC 6409 section 8. They are put behind the header, and
// nothing that the client has written is changed. A message that is signed gets nothing:
// a signature can be for the absence of a field too.
//
// Of the message no more is kept than how the line begins that it is in.
type completion struct {
	out    io.Writer
	fields [3]field
	signed bool

	state  completing
	begin  []byte // the line so far, in inBegin
	folded bool   // there is a field that a line beginning with a blank can go on
}

// field is one that each message should have.
type field struct {
	name string // in lower case
	line string // what is added where it is missing; "" if nothing is to be
}

// completing is where the next byte of the message is.
type completing byte

const (
	inBegin    completing = iota // in a line that may be the header's
	inField                      // in one that is
	afterwards                   // behind the header
)

// signature is the field of a message that must not be changed. See RFC 6376.
const signature = "dkim-signature"

// maxName is how long the name of a field can be. A line that is as long, and has no
// colon, is none of the header's.
const maxName = 256

// newCompletion returns what completes a message from sender on its way to out.
func newCompletion(out io.Writer, sender, id string, now time.Time) *completion {
	from := ""
	if sender != "" && fitForHeader(sender) {
		from = "From: <" + mailaddr.Quote(sender) + ">\n"
	}
	return &completion{out: out, fields: [...]field{
		{"from", from},
		{"date", "Date: " + received.Date(now) + "\n"},
		{"message-id", "Message-ID: <" + id + ">\n"},
	}}
}

// fitForHeader reports whether nothing in an address can end a line.
func fitForHeader(address string) bool {
	return !strings.ContainsFunc(address, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// messageID returns a new identifier: the number of a job is unique on this host, and
// that of the message in its session.
func messageID(now time.Time, job, message int, host string) string {
	return fmt.Sprintf("%s.%d.%d.qmail@%s", now.UTC().Format("20060102150405"), job, message, host)
}

// Write passes on the next bytes of the message. Whoever they go to says later what came of it.
func (c *completion) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		switch c.state {
		case inBegin:
			c.begin = append(c.begin, b[0])
			b = b[1:]
			c.judge()
		case inField:
			end := bytes.IndexByte(b, '\n') + 1
			if end == 0 {
				end = len(b)
			} else {
				c.state = inBegin
			}
			c.out.Write(b[:end])
			b = b[end:]
		case afterwards:
			c.out.Write(b)
			return n, nil
		}
	}
	return n, nil
}

// judge looks at the last byte of begin.
func (c *completion) judge() {
	switch name, what := fieldName(c.begin, c.folded); what {
	case isField:
		c.found(name)
		c.out.Write(c.begin)
		c.begin, c.state, c.folded = c.begin[:0], inField, true
	case isNone:
		c.add()
		if c.begin[0] != '\n' {
			io.WriteString(c.out, "\n")
		}
		c.out.Write(c.begin)
		c.begin, c.state = nil, afterwards
	}
}

// lineKind is what a line is known to be.
type lineKind byte

const (
	unknownYet lineKind = iota
	isField
	isNone
)

// fieldName finds out by the last byte of the beginning of a line whether that is a
// field, or goes on with one. The name is in lower case.
func fieldName(begin []byte, folded bool) (name string, what lineKind) {
	last := begin[len(begin)-1]
	blank := last == ' ' || last == '\t'
	switch {
	case len(begin) == 1 && blank && folded:
		return "", isField
	case len(begin) == 1 && (blank || last == ':'), len(begin) >= maxName:
		return "", isNone
	case blank: // before the colon, as old messages have it
		return "", unknownYet
	case last == ':':
		return mailaddr.Lower(strings.TrimRight(string(begin[:len(begin)-1]), " \t")), isField
	case last < ' ', last > '~', len(begin) > 1 && (begin[len(begin)-2] == ' ' || begin[len(begin)-2] == '\t'):
		return "", isNone
	}
	return "", unknownYet
}

// found takes note of a field.
func (c *completion) found(name string) {
	c.signed = c.signed || name == signature
	for i := range c.fields {
		if c.fields[i].name == name {
			c.fields[i].line = ""
		}
	}
}

// add puts what is missing behind the header.
func (c *completion) add() {
	for _, f := range c.fields {
		if !c.signed {
			io.WriteString(c.out, f.line)
		}
	}
}

// end is after the last byte of the message.
func (c *completion) end() {
	if c.state != afterwards {
		c.add()
		c.out.Write(c.begin)
	}
}
