package aliases

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"quail/internal/cdb"
	"quail/internal/forwarding"
	"quail/internal/maillist"
)

// Lines yields the lines of a file that are not comments. After an error there are no
// more.
func Lines(r io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadString('\n')
			if err != nil && err != io.EOF {
				yield("", err)
				return
			}
			if line != "" && line[0] != '#' && !yield(line, nil) || err != nil {
				return
			}
		}
	}
}

// Continued yields the lines of /etc/aliases, each with those that go on with it: they
// begin with a blank, and empty ones between are nothing.
//
// Differs from qmail: a last line without its newline counts.
func Continued(r io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		in := bufio.NewReader(r)
		var whole strings.Builder
		for {
			line, err := in.ReadString('\n')
			if err != nil && err != io.EOF {
				yield("", err)
				return
			}
			blank := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
			if before := whole.String(); line != "\n" && !blank {
				whole.Reset()
				if before != "" && before[0] != '#' && !yield(before, nil) {
					return
				}
			}
			if line != "\n" {
				whole.WriteString(line)
			}
			if err == nil {
				continue
			}
			if last := whole.String(); last != "" && last[0] != '#' {
				yield(last, nil)
			}
			return
		}
	}
}

// Records returns what a line of /etc/aliases, with those that continue it, stands for
// in the database: the first address is the alias. There are none for a line of nothing
// but comments.
func (n Names) Records(line string) ([]cdb.Record, error) {
	items, err := Parse(line)
	if err != nil {
		return nil, err
	}
	// The last address that is seen is the alias. What is no address needs no such
	// doubt, so its entry overtakes that of the address to its right.
	var entries []maillist.Entry
	var target string
	var alias maillist.Entry
	for _, item := range items {
		e, isAddress, err := n.entry(item)
		switch {
		case err != nil:
			return nil, err
		case item.Included:
			entries = append(entries, e+".bin")
		case !isAddress:
			entries = append(entries, e)
		case item.Text == "":
			return nil, errors.New("empty recipient addresses not permitted")
		default:
			if alias != "" {
				entries = append(entries, alias)
			}
			target, alias = item.Text, e
			if !item.Host {
				target += "@"
			}
		}
	}
	switch {
	case len(entries) == 0 && alias == "":
		return nil, nil
	case len(entries) == 0 || alias == "":
		return nil, syntaxError(line)
	}
	records := []cdb.Record{forwarding.Instructions(target, entries...)}
	if list, ok := strings.CutPrefix(target, "owner-"); ok {
		owner, _ := alias.Address()
		records = append([]cdb.Record{forwarding.Owner(list, owner)}, records...)
	}
	return records, nil
}

// Included returns the entries that a line of an :include: file becomes. An empty
// address is passed over.
func (n Names) Included(line string) ([]maillist.Entry, error) {
	items, err := Parse(line)
	if err != nil {
		return nil, err
	}
	var entries []maillist.Entry
	for _, item := range items {
		if _, program := item.Program(); program {
			return nil, fmt.Errorf("program delivery %s not supported", shown(item.Text))
		}
		if item.Text == "" && !item.Included {
			continue
		}
		e, _, err := n.entry(item)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// entry returns the entry that an item becomes.
func (n Names) entry(i Item) (e maillist.Entry, isAddress bool, err error) {
	if err := i.Check(); err != nil {
		return "", false, err
	}
	if i.Included {
		e, err = maillist.File(i.Text)
		return e, false, err
	}
	if command, ok := i.Program(); ok {
		return maillist.Entry("!" + command), false, nil
	}
	e, err = maillist.Recipient(n.Complete(i))
	return e, true, err
}
