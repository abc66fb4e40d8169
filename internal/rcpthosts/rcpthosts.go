// Package rcpthosts decides for which recipients a server takes mail from
// strangers: those whose domain is in control/rcpthosts or in
// control/morercpthosts.cdb. See spec "Receiving mail", section 3.
//
// Addresses come from the network. This is what keeps a host from relaying for
// everybody, so what cannot be decided is an error, never a yes.
package rcpthosts

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"strings"

	"quail/internal/cdb"
	"quail/internal/cdbfile"
	"quail/internal/control"
	"quail/internal/mailaddr"
)

// Names in the control directory: the list that an administrator writes, and what
// qmail-newmrh makes of it.
const (
	More     = "morercpthosts"
	Compiled = "morercpthosts.cdb"
)

// Records returns the records of morercpthosts.cdb that the text of morercpthosts
// stands for, in the order of the database: a domain a line, in lower case, without
// trailing blanks. Empty lines and those that begin with # are none. An error of
// reading ends the sequence.
func Records(text io.Reader) iter.Seq2[cdb.Record, error] {
	return func(yield func(cdb.Record, error) bool) {
		lines := bufio.NewReader(text)
		for {
			line, err := lines.ReadString('\n')
			if err != nil && err != io.EOF {
				yield(cdb.Record{}, err)
				return
			}
			domain := mailaddr.Lower(strings.TrimRight(line, " \t\n"))
			if domain != "" && domain[0] != '#' && !yield(cdb.Record{Key: domain}, nil) || err == io.EOF {
				return
			}
		}
	}
}

// Rcpthosts holds the domains that a host receives mail for.
type Rcpthosts struct {
	there  bool // the list rcpthosts
	listed control.Map
	more   string // path of morercpthosts.cdb, "" if there is none
}

// Load reads the lists in the control directory dir, once a job. It fails where a
// list exists and cannot be read.
func Load(dir control.Dir) (*Rcpthosts, error) {
	listed, set, err := dir.Set("rcpthosts")
	if err != nil {
		return nil, err
	}
	h := &Rcpthosts{there: set, listed: listed}
	if !set {
		// Differs from qmail: no list means no domain, not any. A lost file must
		// not make an open relay. morercpthosts.cdb goes unused, as in qmail.
		return h, nil
	}
	// The database is opened again for each domain that is not listed: a thousand
	// idle sessions then hold no descriptor each. Trouble shows now, though.
	more := filepath.Join(string(dir), Compiled)
	file, err := cdbfile.Open(more)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return h, nil
	case err != nil:
		return nil, fmt.Errorf("read control file: %w", err)
	}
	file.Close()
	h.more = more
	return h, nil
}

// Allowed reports whether mail for address is taken: its domain is listed, or an
// ending of it that begins with a dot. An address without a domain is allowed; it
// gets one of this host's own (control/envnoathost) later. After an error the
// address must not be accepted.
func (h *Rcpthosts) Allowed(address string) (bool, error) {
	m, err := h.Find(address)
	return m.Allowed, err
}

// Match is why mail for an address is taken, or not.
type Match struct {
	Allowed bool
	// File is the list that has the domain, "" for an address without one, and Key the
	// line in it, in lower case.
	File, Key string
}

// Find returns what Allowed reports, and why. After an error nothing is allowed.
func (h *Rcpthosts) Find(address string) (Match, error) {
	_, domain, ok := mailaddr.Split(address)
	if !ok {
		return Match{Allowed: true}, nil
	}
	if domain == "" {
		return Match{}, nil
	}
	suffixes := mailaddr.Suffixes(mailaddr.Lower(domain))
	for _, suffix := range suffixes {
		if h.listed.Has(suffix) {
			return Match{true, "rcpthosts", suffix}, nil
		}
	}
	if h.more == "" {
		return Match{}, nil
	}
	return h.inMore(suffixes)
}

// WhyNot says in words why an address that Find found nothing for is refused, for people
// who look after the lists. show makes a domain fit to be shown.
func (h *Rcpthosts) WhyNot(address string, show func(string) string) string {
	if !h.there {
		return "there is no control/rcpthosts"
	}
	_, domain, _ := mailaddr.Split(address)
	return "neither rcpthosts nor morercpthosts.cdb has " + show(domain)
}

// inMore looks for keys in morercpthosts.cdb.
func (h *Rcpthosts) inMore(keys []string) (Match, error) {
	file, err := cdbfile.Open(h.more)
	if err != nil {
		return Match{}, err
	}
	defer file.Close()
	for _, key := range keys {
		if _, ok, err := file.Find(key); err != nil {
			return Match{}, err
		} else if ok {
			return Match{true, Compiled, key}, nil
		}
	}
	return Match{}, nil
}
