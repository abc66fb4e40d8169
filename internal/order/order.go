// Package order owns the bytes on qmail-send's socket, HOME/ctl/send: what an
// administrator asks of a queue at work, and the answer. The asker is qmail-qctl.
//
// Both ways go records as in the queue, a letter, a text and a NUL. A record that is
// empty but for its NUL ends an order, and each message of an answer. An order is
//
//	V verb            list, show, requeue, expire, delete, hold or release; first
//	i number          a message; any number of them
//	s glob, r glob    its sender, one of its recipients that are not done
//	o n, y n          older, younger than n seconds
//	a                 every message
//	d                 a dry run: say what would be done
//
// and means the messages to which all of that applies. The answer has, for each
// message, i and what is known of it: S state, z size in bytes, b when it was queued
// (seconds of the clock), F sender, l and r when it is due there, n and k how many
// recipients are left and done, B if a bounce is to come, T and D recipients that are
// left and done, each behind the name of its channel and a blank, o what became of the
// order. At the end of all comes a record E with an exit status, a blank and what there
// is to say. An answer without it was cut off.
//
// Who may order is root or qmails, as the kernel says. Both ends refuse what is not in
// form, and what is too long.
package order

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Path is where the socket is, below the home. Nobody but root and qmails can reach
// into its directory, and nobody but root can put another one in its place.
const Path = "ctl/send"

// Limits, in bytes but for MaxShown.
const (
	MaxOrder  = 1 << 18 // of an order
	maxRecord = 1 << 16
	MaxShown  = 10000 // recipients of a message that are shown
)

// ErrFormat is an order, or an answer, that is none.
var ErrFormat = errors.New("not in form")

// Verb is what is to be done.
type Verb string

// The verbs.
const (
	List    Verb = "list"    // say what messages there are
	Show    Verb = "show"    // and all that is known of them
	Requeue Verb = "requeue" // try now, but for those held
	Expire  Verb = "expire"  // give up at the next attempt
	Delete  Verb = "delete"  // take every recipient for done
	Hold    Verb = "hold"    // try not before release
	Release Verb = "release" // try what is held now
)

// Verbs lists them.
var Verbs = []Verb{List, Show, Requeue, Expire, Delete, Hold, Release}

// Changes reports whether the verb changes anything.
func (v Verb) Changes() bool { return v != List && v != Show }

// Order is what is asked.
type Order struct {
	Verb      Verb
	IDs       []uint64
	Sender    *string // globs, in which * is any text and ? any byte
	Recipient *string
	Older     int64 // seconds; 0 asks for nothing
	Younger   int64
	All       bool
	DryRun    bool
}

// Append adds the bytes of the order.
func (o Order) Append(b []byte) []byte {
	b = appendRecord(b, 'V', string(o.Verb))
	for _, id := range o.IDs {
		b = appendRecord(b, 'i', strconv.FormatUint(id, 10))
	}
	if o.Sender != nil {
		b = appendRecord(b, 's', *o.Sender)
	}
	if o.Recipient != nil {
		b = appendRecord(b, 'r', *o.Recipient)
	}
	if o.Older != 0 {
		b = appendRecord(b, 'o', strconv.FormatInt(o.Older, 10))
	}
	if o.Younger != 0 {
		b = appendRecord(b, 'y', strconv.FormatInt(o.Younger, 10))
	}
	if o.All {
		b = appendRecord(b, 'a', "")
	}
	if o.DryRun {
		b = appendRecord(b, 'd', "")
	}
	return append(b, 0)
}

// Read reads an order. A change must say which messages it means.
func Read(r *bufio.Reader) (o Order, err error) {
	for size := 0; ; {
		kind, text, err := readRecord(r)
		if err != nil {
			return o, err
		}
		if size += len(text) + 2; size > MaxOrder || (o.Verb == "") != (kind == 'V') {
			return o, ErrFormat
		}
		if kind == 0 {
			break
		}
		if err := o.set(kind, text); err != nil {
			return o, err
		}
	}
	if o.Verb.Changes() && !o.Selects() {
		return o, ErrFormat
	}
	return o, nil
}

// Selects reports whether the order says which messages it means.
func (o Order) Selects() bool {
	return o.All || len(o.IDs) > 0 || o.Sender != nil || o.Recipient != nil || o.Older != 0 || o.Younger != 0
}

func (o *Order) set(kind byte, text string) (err error) {
	switch kind {
	case 'V':
		o.Verb = Verb(text)
		if !slices.Contains(Verbs, o.Verb) {
			err = ErrFormat
		}
	case 'i':
		var id uint64
		id, err = strconv.ParseUint(text, 10, 64)
		o.IDs = append(o.IDs, id)
	case 's':
		o.Sender = &text
	case 'r':
		o.Recipient = &text
	case 'o':
		o.Older, err = seconds(text)
	case 'y':
		o.Younger, err = seconds(text)
	case 'a', 'd':
		o.All, o.DryRun = o.All || kind == 'a', o.DryRun || kind == 'd'
		if text != "" {
			err = ErrFormat
		}
	default:
		err = ErrFormat
	}
	if err != nil {
		return ErrFormat
	}
	return nil
}

// seconds reads an age.
func seconds(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil && n < 1 {
		err = ErrFormat
	}
	return n, err
}

// WantsAge reports whether a message that was queued at birth is meant by its age.
func (o Order) WantsAge(birth, now int64) bool {
	age := now - birth
	return (o.Older == 0 || age > o.Older) && (o.Younger == 0 || age < o.Younger)
}

// WantsSender reports whether messages of this sender are meant.
func (o Order) WantsSender(address string) bool { return o.Sender == nil || Match(*o.Sender, address) }

// WantsRecipient reports whether messages to this recipient are meant.
func (o Order) WantsRecipient(address string) bool {
	return o.Recipient == nil || Match(*o.Recipient, address)
}

// Match reports whether an address is one of those that a glob stands for: * is any
// text, ? any byte, ASCII letters are the same in either case.
func Match(glob, address string) bool {
	g, a := 0, 0
	star, from := -1, 0 // the last *, and where the text behind what it stands for begins
	for a < len(address) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, from = g, a
			g++
		case g < len(glob) && (glob[g] == '?' || lower(glob[g]) == lower(address[a])):
			g++
			a++
		case star >= 0:
			from++
			g, a = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}

func lower(c byte) byte {
	if c <= unicode.MaxASCII {
		return byte(unicode.ToLower(rune(c)))
	}
	return c
}

func appendRecord(b []byte, kind byte, text string) []byte {
	text, _, _ = strings.Cut(text, "\x00")
	if len(text) > maxRecord-2 {
		text = text[:maxRecord-2]
	}
	return append(append(append(b, kind), text...), 0)
}

// readRecord reads a record; kind is 0 for the empty one.
func readRecord(r *bufio.Reader) (kind byte, text string, err error) {
	var b []byte
	for {
		c, err := r.ReadByte()
		switch {
		case err == io.EOF && len(b) > 0:
			return 0, "", io.ErrUnexpectedEOF
		case err != nil:
			return 0, "", err
		case c == 0 && len(b) == 0:
			return 0, "", nil
		case c == 0:
			return b[0], string(b[1:]), nil
		case len(b) == maxRecord-1:
			return 0, "", ErrFormat
		}
		b = append(b, c)
	}
}
