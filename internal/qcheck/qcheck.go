// Package qcheck is qmail-qcheck: it finds what is inconsistent in a queue, and mends
// it. See spec "The queue", sections 2 to 5, and the states in package queue.
//
// A queue at work is always between two states somewhere. Directories are read in an
// order in which a message that moves still makes sense, and only what two looks have
// found is told. A repair holds qmail-send's lock; new messages may come meanwhile.
//
// Nothing is ever removed: files are renamed, get their owners and modes, or are put
// into queue/quarantine. It runs as root in directories that are qmailq's and qmails',
// on bytes that any local user may have written: no link is followed below the queue's
// directories, and of a file that is given an owner the inode is the one looked at.
package qcheck

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"quail/internal/ascii"
	"quail/internal/conf"
	"quail/internal/layout"
	"quail/internal/prog"
	"quail/internal/queue"
)

// StatusFound says that something is wrong, and still is after a repair.
const StatusFound = 1

// repairs is how many are made if one brings to light what could not be seen before:
// what an interrupted one had put aside may have been broken.
const repairs = 2

// between is the time from one look to the next.
var between = time.Second

// Run is the program. The table is scripts/files.
func Run(p *prog.Process, table string) error {
	flags := pflag.NewFlagSet("qmail-qcheck", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	asJSON := flags.Bool("json", false, "")
	repair := flags.Bool("repair", false, "")
	if err := flags.Parse(p.Args); err != nil || flags.NArg() > 0 {
		return prog.Usage("qmail-qcheck [ --json ] [ --repair ]")
	}
	c := &checker{p: p, dir: queue.In(conf.Home), accounts: layout.NewAccounts(), json: *asJSON}
	if _, err := os.Stat(c.dir.Path("mess/.")); err != nil {
		return prog.Fail("unable to look into "+string(c.dir)+", or it is no queue", err)
	}
	var err error
	if c.items, err = tree(table, c.accounts); err != nil {
		return err
	}
	work := c.checked
	if *repair {
		work = c.repaired
	}
	left, err := work()
	if err == nil && left > 0 {
		return prog.Exit(StatusFound)
	}
	return err
}

type checker struct {
	p        *prog.Process
	dir      queue.Dir
	accounts *layout.Accounts
	items    []treeItem
	json     bool
}

// checked prints what two looks find, and returns how much that is.
func (c *checker) checked() (int, error) {
	first, err := c.look()
	if err != nil || len(first) == 0 {
		return 0, err
	}
	before := keys(first)
	time.Sleep(between)
	second, err := c.look()
	if err != nil {
		return 0, err
	}
	found := slices.DeleteFunc(second, func(f finding) bool { return !before[f.key()] })
	return len(found), c.print(found, nil)
}

// repaired mends what it finds, prints it, and returns how much is left.
func (c *checker) repaired() (int, error) {
	lock, busy, err := c.dir.Lock()
	if busy {
		return 0, errors.New("qmail-send is running: stop it first")
	}
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	found, err := c.look()
	if err != nil || len(found) == 0 {
		return 0, err
	}
	after := found
	var stopped error
	for range repairs {
		r := &repairer{dir: c.dir, accounts: c.accounts, now: c.p.Now(), touched: map[string]bool{}}
		stopped = r.mend(after)
		if after, err = c.look(); err != nil {
			return 0, errors.Join(stopped, err)
		}
		before := keys(found)
		fresh := slices.DeleteFunc(slices.Clone(after), func(f finding) bool { return before[f.key()] })
		if found = append(found, fresh...); stopped != nil || len(fresh) == 0 {
			break
		}
	}
	left := keys(after)
	return len(after), errors.Join(stopped, c.print(found, func(f finding) bool { return !left[f.key()] }))
}

func keys(findings []finding) map[key]bool {
	out := map[key]bool{}
	for _, f := range findings {
		out[f.key()] = true
	}
	return out
}

// look returns what is wrong at the moment, in the order of the names.
func (c *checker) look() ([]finding, error) {
	s, err := look(c.dir)
	if err != nil {
		return nil, prog.Fail("unable to read the queue", err)
	}
	j := &judge{dir: c.dir, accounts: c.accounts, now: c.p.Now(), s: s}
	if err := errors.Join(j.tree(c.items), j.all()); err != nil {
		return nil, prog.Fail("unable to read the queue", err)
	}
	slices.SortFunc(j.findings, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind), cmp.Compare(a.text, b.text))
	})
	return j.findings, nil
}

// line is a finding for programs.
type line struct {
	Kind    kind   `json:"kind"`
	File    string `json:"file"`
	Message uint64 `json:"message,omitempty"`
	Text    string `json:"text"`
	Mended  *bool  `json:"mended,omitempty"`
	Aside   bool   `json:"quarantined,omitempty"`
}

// print prints findings, and after a repair what became of each.
func (c *checker) print(findings []finding, mended func(finding) bool) error {
	out := bufio.NewWriter(c.p.Stdout)
	for _, f := range findings {
		l := line{Kind: f.kind, File: string(f.name), Message: uint64(f.id), Text: f.text}
		outcome := ""
		if mended != nil {
			yes := mended(f)
			l.Mended, l.Aside = &yes, yes && f.kind.aside()
			switch {
			case l.Aside:
				outcome = ": in quarantine"
			case yes:
				outcome = ": mended"
			default:
				outcome = ": left"
			}
		}
		if c.json {
			b, err := json.Marshal(l)
			if err != nil {
				return err
			}
			out.Write(append(b, '\n'))
			continue
		}
		fmt.Fprintf(out, "%s: %s %s%s\n", f.kind, ascii.Printable(string(f.name), '_'), f.text, outcome)
	}
	if err := out.Flush(); err != nil {
		return prog.Unwritten(err)
	}
	return nil
}
