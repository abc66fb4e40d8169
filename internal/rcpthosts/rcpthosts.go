// Package rcpthosts decides for which recipients a server takes mail from
// strangers: those whose domain is in control/rcpthosts or in
// control/morercpthosts.cdb. See spec "Receiving mail", section 3.
//
// Addresses come from the network. This is what keeps a host from relaying for
// everybody, so what cannot be decided is an error, never a yes.
package rcpthosts

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"quail/internal/cdbfile"
	"quail/internal/control"
	"quail/internal/mailaddr"
)

// Rcpthosts holds the domains that a host receives mail for.
type Rcpthosts struct {
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
	h := &Rcpthosts{listed: listed}
	if !set {
		// Differs from qmail: no list means no domain, not any. A lost file must
		// not make an open relay. morercpthosts.cdb goes unused, as in qmail.
		return h, nil
	}
	// The database is opened again for each domain that is not listed: a thousand
	// idle sessions then hold no descriptor each. Trouble shows now, though.
	more := filepath.Join(string(dir), "morercpthosts.cdb")
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
	_, domain, ok := mailaddr.Split(address)
	if !ok {
		return true, nil
	}
	if domain == "" {
		return false, nil
	}
	suffixes := mailaddr.Suffixes(mailaddr.Lower(domain))
	for _, suffix := range suffixes {
		if h.listed.Has(suffix) {
			return true, nil
		}
	}
	if h.more == "" {
		return false, nil
	}
	return h.inMore(suffixes)
}

// inMore reports whether one of keys is in morercpthosts.cdb.
func (h *Rcpthosts) inMore(keys []string) (bool, error) {
	file, err := cdbfile.Open(h.more)
	if err != nil {
		return false, err
	}
	defer file.Close()
	for _, key := range keys {
		if _, ok, err := file.Find(key); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
