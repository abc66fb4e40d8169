package fastforward

import (
	"errors"
	"io"
	"os"
	"slices"
	"syscall"

	"quail/internal/forwarding"
	"quail/internal/maillist"
	"quail/internal/prog"
)

// expansion is all that a message is to be given to.
type expansion struct {
	programs   []maillist.Entry
	recipients []string
	owner      string // the sender of what is forwarded, if owned
	owned      bool

	p     *prog.Process
	name  string // of the database
	table forwarding.Table
	todo  []maillist.Entry // the last one is next
	seen  map[maillist.Entry]bool
	left  int64 // bytes that the lists together may still have
}

// maxLists is how many bytes all lists together may have: half a million addresses and
// more. Lists are other users' files, and what is in them has to be in memory.
//
// Differs from qmail, which is limited by its memory alone.
const maxLists = 16 << 20

// expand looks an address up and follows what it finds to the end. It returns nil if
// there are no instructions for the address.
//
// Each list and each address is followed once, so a loop among aliases ends, and so
// does one among lists. An alias with an owner is not followed but forwarded to, since
// its mail must go out under another sender: Delivered-To ends loops through these.
//
// Differs from qmail: nothing is run or forwarded before everything is known. A list
// that cannot be read would otherwise have the programs beside it run at each attempt.
func expand(p *prog.Process, name string, table forwarding.Table, address string) (*expansion, error) {
	x := &expansion{p: p, name: name, table: table, seen: map[maillist.Entry]bool{}, left: maxLists}
	var err error
	if x.owner, x.owned, err = table.Owner(address); err != nil {
		return nil, x.unreadable(err)
	}
	entries, found, err := table.Match(address)
	if err != nil {
		return nil, x.unreadable(err)
	}
	if !found {
		return nil, nil
	}
	x.add(entries)
	for len(x.todo) > 0 {
		last := len(x.todo) - 1
		e := x.todo[last]
		x.todo = x.todo[:last]
		if x.seen[e] {
			continue
		}
		x.seen[e] = true
		if err := x.follow(e); err != nil {
			return nil, err
		}
	}
	slices.Reverse(x.recipients)
	return x, nil
}

// errTooMuch says that the lists have more than maxLists bytes.
var errTooMuch = errors.New("mailing lists too long")

func (x *expansion) unreadable(err error) error { return prog.Fail("unable to read "+x.name, err) }

// add takes instructions in: programs at once, the others when their turn comes.
func (x *expansion) add(entries []maillist.Entry) {
	for _, e := range entries {
		if _, _, ok := forwarding.Program(e); ok {
			x.programs = append(x.programs, e)
		} else {
			x.todo = append(x.todo, e)
		}
	}
}

// follow replaces a list by its entries, and an address by what the database says of
// it, if anything.
func (x *expansion) follow(e maillist.Entry) error {
	if name, ok := e.File(); ok {
		entries, err := x.readList(name)
		x.add(entries)
		return err
	}
	address, _ := e.Address()
	owned, err := x.table.Owned(address)
	if err != nil {
		return x.unreadable(err)
	}
	if !owned {
		entries, found, err := x.table.Entries(address)
		if err != nil {
			return x.unreadable(err)
		}
		if found {
			x.add(entries)
			return nil
		}
	}
	x.recipients = append(x.recipients, address)
	return nil
}

// readList returns the entries of a list. That everybody may read the file shows that
// its owner does not mind; without that, a list could be named to have fastforward
// tell what is in somebody's files. Never does it wait for a file.
func (x *expansion) readList(name string) ([]maillist.Entry, error) {
	f, err := os.OpenFile(x.p.Path(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, prog.Fail("unable to read "+name, err)
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, prog.Fail("unable to stat "+name, err)
	case st.Mode()&0o444 != 0o444:
		return nil, errors.New(name + " is not world-readable")
	case !st.Mode().IsRegular():
		return nil, prog.Fail("unable to read "+name, maillist.ErrFormat)
	}
	list, err := io.ReadAll(io.LimitReader(f, x.left+1))
	if err != nil {
		return nil, prog.Fail("unable to read "+name, err)
	}
	if x.left -= int64(len(list)); x.left < 0 {
		return nil, prog.Fail("unable to read "+name, errTooMuch)
	}
	entries, err := maillist.Parse(list)
	if err != nil {
		return nil, prog.Fail("unable to read "+name, err)
	}
	return entries, nil
}
