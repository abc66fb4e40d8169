package keysd

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"quail/internal/keywire"
)

// keepTime is how long a key is used after its certificate has gone: handshakes that
// began with that are to end well.
const keepTime = 2 * time.Minute

// ring is the keys.
type ring struct {
	mu     sync.Mutex
	pairs  []*pair          // in the order of the entries
	names  map[string]*pair // by entry, what is in use
	said   map[string]string
	id     keywire.ID // of the set
	listed []byte     // the answer that has it
	keys   map[keywire.ID]*held
}

// held is a key, which goes at a time if its certificate has gone.
type held struct {
	key  crypto.Signer
	gone time.Time
}

func newRing() *ring {
	return &ring{names: map[string]*pair{}, said: map[string]string{}, keys: map[keywire.ID]*held{}}
}

// load takes the place of what was there with the pairs of the entries. An entry that is
// no pair keeps what it was before. It returns what there is to say.
func (r *ring) load(entries []keywire.Entry, now time.Time) (lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names, said := map[string]*pair{}, map[string]string{}
	var pairs []*pair
	for _, e := range entries {
		if _, twice := said[e.Name]; twice {
			continue
		}
		fresh, err := newPair(e)
		was := r.names[e.Name]
		var line string
		switch {
		case err == nil:
			line = fresh.describe(now)
		case was != nil:
			line = fmt.Sprintf("warning: %s: %v; what was there before stays in use", e.Name, err)
			fresh = was
		default:
			line = fmt.Sprintf("warning: %s: %v", e.Name, err)
		}
		said[e.Name] = line
		if line != r.said[e.Name] {
			lines = append(lines, line)
		}
		if fresh != nil {
			names[e.Name] = fresh
			pairs = append(pairs, fresh)
		}
	}
	r.pairs, r.names, r.said = pairs, names, said
	if len(pairs) == 0 {
		lines = append(lines, "warning: there is no certificate")
	}
	r.put(now)
	return lines
}

// put makes the answers of what there is now.
func (r *ring) put(now time.Time) {
	chains := make([]keywire.Chain, len(r.pairs))
	current := map[keywire.ID]bool{}
	for i, p := range r.pairs {
		chains[i] = p.chain
		id := keywire.Certificate(p.chain[0])
		current[id] = true
		r.keys[id] = &held{key: p.key}
	}
	maps.DeleteFunc(r.keys, func(id keywire.ID, h *held) bool {
		if !current[id] && h.gone.IsZero() {
			h.gone = now.Add(keepTime)
		}
		return !current[id] && now.After(h.gone)
	})
	r.id = keywire.Set(chains)
	r.listed = keywire.Answer{Kind: keywire.Listed, Chains: chains}.Append(nil)
}

// expired names the certificates that clients will not take.
func (r *ring) expired(now time.Time) (lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pairs {
		if p.expired(now) {
			lines = append(lines, p.describe(now))
		}
	}
	return lines
}

// list returns the bytes of the certificates, or that they are those of the set id.
func (r *ring) list(id keywire.ID) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id == r.id {
		return keywire.Answer{Kind: keywire.Unchanged}.Append(nil)
	}
	return r.listed
}

// Why nothing is signed.
var (
	errUnknown = errors.New("there is no such certificate")
	errText    = errors.New("this is not what a TLS server signs")
	errScheme  = errors.New("this key has no such signatures")
)

// sign signs what a TLS server signs, and nothing else.
func (r *ring) sign(q keywire.Request, now time.Time) ([]byte, error) {
	r.mu.Lock()
	h := r.keys[q.ID]
	if h != nil && !h.gone.IsZero() && now.After(h.gone) {
		delete(r.keys, q.ID)
		h = nil
	}
	r.mu.Unlock()
	if h == nil {
		return nil, errUnknown
	}
	if !keywire.Signable(q.Text) {
		return nil, errText
	}
	family, hash, ok := keywire.Parts(q.Scheme)
	if !ok {
		return nil, errScheme
	}
	text := q.Text
	if hash != 0 {
		sum := hash.New()
		sum.Write(text)
		text = sum.Sum(nil)
	}
	switch key := h.key.(type) {
	case *rsa.PrivateKey:
		switch family {
		case keywire.RSA:
			return rsa.SignPKCS1v15(nil, key, hash, text)
		case keywire.PSS:
			return rsa.SignPSS(rand.Reader, key, hash, text, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
	case *ecdsa.PrivateKey:
		if family == keywire.ECDSA {
			return ecdsa.SignASN1(rand.Reader, key, text)
		}
	case ed25519.PrivateKey:
		if family == keywire.EdDSA {
			return ed25519.Sign(key, text), nil
		}
	}
	return nil, errScheme
}
