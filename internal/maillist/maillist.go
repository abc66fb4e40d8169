// Package maillist owns the binary mailing lists of fastforward: files that
// setmaillist and newinclude write, printmaillist prints and fastforward reads.
// Where spec is silent, setmaillist(1) of fastforward 0.51 counts.
//
// A list is a row of entries, each ended by a zero byte: & and a recipient's address,
// or the name of another list, which begins with a dot or a slash. Values in
// fastforward's database are rows of entries too, see package forwarding.
//
// A list belongs to any user, and fastforward reads it as somebody else. So Parse is
// total, and takes no list that is not one from the first byte to the last.
package maillist

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// MaxAddress is how long a recipient's address may be that goes into a list, in bytes.
const MaxAddress = 800

// maxStored is how long an entry with an address may be that is read: the limit of
// fastforward, which leaves room for what other writers count otherwise.
const maxStored = 899

// Errors of lists and of what is to become an entry.
var (
	ErrFormat  = errors.New("bad mailing list format")
	ErrTooLong = errors.New("addresses must be under 800 bytes")
)

// Entry is one destination, as it is stored but for the zero byte.
type Entry string

// Address returns the address of an entry that is a recipient.
func (e Entry) Address() (address string, ok bool) { return strings.CutPrefix(string(e), "&") }

// File returns the file name of an entry that is a list. One that begins with a dot
// is relative to the directory in which mail is delivered.
func (e Entry) File() (name string, ok bool) {
	return string(e), strings.HasPrefix(string(e), ".") || strings.HasPrefix(string(e), "/")
}

// Recipient returns the entry of an address in envelope form. A newline or a blank at
// its end would not survive printing.
func Recipient(address string) (Entry, error) {
	switch err := printable("recipient addresses", address); {
	case err != nil:
		return "", err
	case len(address) > MaxAddress:
		return "", ErrTooLong
	case strings.HasSuffix(address, " ") || strings.HasSuffix(address, "\t"):
		return "", errors.New("spaces and tabs not permitted at ends of addresses")
	}
	return Entry("&" + address), nil
}

// File returns the entry of a list, given its name.
func File(name string) (Entry, error) {
	if err := printable(":include: filenames", name); err != nil {
		return "", err
	}
	if _, ok := Entry(name).File(); ok {
		return Entry(name), nil
	}
	return Entry("./" + name), nil
}

func printable(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("empty %s not permitted", what)
	case strings.Contains(s, "\n"):
		return fmt.Errorf("newlines not permitted in %s", what)
	case strings.Contains(s, "\x00"):
		return fmt.Errorf("NUL not permitted in %s", what)
	}
	return nil
}

// Line reads a line of a list in text form, as setmaillist does and String writes it.
// A comment or an empty line is no entry.
func Line(line string) (e Entry, ok bool, err error) {
	line = strings.TrimRight(line, "\n \t")
	switch {
	case strings.Contains(line, "\x00"):
		return "", false, errors.New("NUL in input")
	case line == "" || line[0] == '#':
		return "", false, nil
	case line[0] == '.' || line[0] == '/':
		return Entry(line), true, nil
	case len(line) > MaxAddress:
		return "", false, ErrTooLong
	}
	return Entry("&" + strings.TrimPrefix(line, "&")), true, nil
}

// Text returns the line, without its newline, that stands for the entry in text form.
// An entry that Line would read as another one has none.
func (e Entry) Text() (string, error) {
	if strings.Contains(string(e), "\n") || strings.TrimRight(string(e), " \t") != string(e) {
		return "", ErrFormat
	}
	return string(e), nil
}

// Append appends entries to a list.
func Append(list []byte, entries ...Entry) []byte {
	for _, e := range entries {
		list = append(append(list, e...), 0)
	}
	return list
}

// Split divides a row of entries of any kind. None is empty, and the last one is
// complete.
func Split(row []byte) ([]Entry, error) {
	var entries []Entry
	for len(row) > 0 {
		one, rest, complete := bytes.Cut(row, []byte{0})
		if len(one) == 0 || !complete || one[0] == '&' && len(one) > maxStored {
			return nil, ErrFormat
		}
		entries = append(entries, Entry(one))
		row = rest
	}
	return entries, nil
}

// Parse returns the entries of a list.
//
// Differs from qmail: a list with anything else in it is an error, which delays mail.
// fastforward 0.51 passes over what it does not understand, and over an entry without
// its end, and those who should get the message never hear of it.
func Parse(list []byte) ([]Entry, error) {
	entries, err := Split(list)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		_, address := e.Address()
		_, file := e.File()
		if !address && !file {
			return nil, ErrFormat
		}
	}
	return entries, nil
}
